"use strict";
// One verdict or ranking as a document: prompt, responses and votes.

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const COLOURS = 6;
const STATUSES = {
  missing: "the text contains no verdict",
  contradictory: "the text names different winners",
  truncated: "the text was cut off before a verdict",
  refused: "the model declined to judge",
  invalid: "the verdict is not one of the choices",
  failed: "the engine failed",
};

function documentOf(row) {
  return [
    heading(row),
    section("Prompt", promptOf(row.prompt)),
    row.reference ? section("Reference", passage(row.reference, "Reference")) : null,
    section(plural(row.responses.length, "response"), responses(row)),
    "pairs" in row
      ? section(plural(row.pairs.length, "pair"), pairsTable(row))
      : section(plural(row.votes.length, "vote"), votes(row)),
    Object.keys(row.metadata).length
      ? folded("Metadata", passage(JSON.stringify(row.metadata, null, 2), "Metadata", "code"))
      : null,
  ].filter((part) => part !== null);
}

function section(title, ...content) {
  return element("section", {}, element("h3", {}, title), ...content);
}

function heading(row) {
  const [outcome, sentence] = result(row);
  return element(
    "header",
    { class: "heading" },
    element("h2", {}, row.id),
    element("p", { class: `result ${outcome}` }, sentence),
    element(
      "dl",
      { class: "facts" },
      factsOf(row).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
    ),
  );
}

/** The row's outcome, as a class and as a sentence. */
function result(row) {
  const ranked = "pairs" in row;
  if (ranked && row.order.length === 0) return ["unparsed", "! No verdict: no pair could be parsed"];
  if (!ranked && row.status !== "ok") return ["unparsed", `! No verdict: ${STATUSES[row.status] ?? row.status}`];
  if (row.responses.length === 1) return resultAlone(row);
  const label = row.label === null ? "no label" : `the label says ${nameOf(row.label)}`;
  if (row.winner === null) return ["tie", `= A tie; ${label}`];
  const says = `${nameOf(row.winner)} is ${row.responses.length > 2 ? "best" : "better"}`;
  if (row.label === null) return ["unlabelled", `${says}; ${label}`];
  return row.correct ? ["right", `✓ Right: ${says}`] : ["wrong", `✗ Wrong: ${says}; ${label}`];
}

/** The outcome of a single response: right or wrong if it has a label, else only its score. */
function resultAlone(row) {
  const score = `score ${row.scores.map(short).join()}`;
  if (row.correct == null) return ["unlabelled", `Single response: ${score}`];
  const label = `the label says ${row.label_scores[0] === 1 ? "right" : "wrong"}`;
  return row.correct ? ["right", `✓ Right: ${score}; ${label}`] : ["wrong", `✗ Wrong: ${score}; ${label}`];
}

function factsOf(row) {
  const facts = [
    ["Domain", row.domain],
    ["Benchmark", row.metadata.benchmark],
    ["Subset", row.metadata.subset],
    ["Agreement", row.agreement == null ? null : percent(row.agreement)],
    ["Flipped by order", row.flip_rate == null ? null : percent(row.flip_rate)],
    ["Kendall’s τ", row.kendall_tau == null ? null : short(row.kendall_tau)],
    ["Rule", row.rule ? row.rule.aggregate : null],
    [
      "Prompt, completion tokens",
      `${tokenCount(row.tokens.prompt)}, ${tokenCount(row.tokens.completion)}`,
    ],
  ];
  return facts.flatMap(([name, value]) => (value == null ? [] : [[name, String(value)]]));
}

// Servers may not report token counts.
function tokenCount(tokens) {
  return tokens == null ? "unknown" : tokens.toLocaleString("en");
}

function promptOf(prompt) {
  if (typeof prompt === "string") return passage(prompt, "Prompt");
  const turns = prompt.map(({ role, content }) =>
    element("li", { class: "turn" }, element("span", { class: "role" }, role), passage(content, role)),
  );
  return element("ol", { class: "turns" }, turns);
}

function nameOf(index) {
  return index === null ? "tie" : `Response ${index + 1}`;
}

/** What names a response: always in words, its colour the same all over the page. */
function chip(index, text = nameOf(index)) {
  return element("span", { class: "chip", "data-colour": index === null ? null : index % COLOURS }, text);
}

function responses(row) {
  const places = row.responses.map((_, index) => index);
  if ("pairs" in row) places.sort((one, other) => rankOf(row, one) - rankOf(row, other));
  return element(
    "div",
    { class: "responses" },
    places.map((index) => responseCard(row, index)),
  );
}

/** From 0; what has no score comes last. */
function rankOf(row, index) {
  const level = row.order.findIndex((tied) => tied.includes(index));
  return level < 0 ? row.order.length : level;
}

function responseCard(row, index) {
  const score = row.scores?.[index] ?? null;
  return element(
    "article",
    { class: "response", "data-colour": index % COLOURS },
    element(
      "h4",
      {},
      chip(index),
      row.winner === index ? element("span", { class: "tag" }, "verdict") : null,
      row.label === index ? element("span", { class: "tag label" }, "label") : null,
      score === null ? null : element("span", { class: "score" }, scoreOf(row, score)),
    ),
    ...(row.steps?.[index] ? stepList(row, index) : [passage(row.responses[index], nameOf(index))]),
  );
}

/** Under the majority, scores are votes. */
function scoreOf(row, score) {
  return row.rule?.aggregate === "majority" ? plural(score, "vote") : `score ${short(score)}`;
}

// Votes ---------------------------------------------------------------------------------------------------------------

function votes(row) {
  const byOrder = Map.groupBy(
    row.votes.map((vote, number) => ({ vote, number })),
    ({ vote }) => vote.order.join(),
  );
  const columns = [...byOrder.values()].map((group) =>
    element(
      "div",
      { class: "order" },
      element(
        "h4",
        {},
        "Shown as ",
        group[0].vote.order
          .map((index, place) => [chip(index, `${LETTERS[place] ?? place + 1} = ${nameOf(index)}`), " "])
          .flat(),
      ),
      group.map(({ vote, number }) => voteCard(vote, number, row.label)),
    ),
  );
  return element("div", { class: "orders" }, columns);
}

function voteCard(vote, number, label) {
  const content = [
    vote.error ? element("p", { class: "error" }, vote.error) : null,
    ...(vote.rationale ? rationale(vote, label) : []),
    vote.reasoning ? folded("Reasoning", passage(vote.reasoning, "Reasoning", "code")) : null,
    ...(vote.per_response ?? []).map(partOf),
    textOf(vote) ? folded("Raw text", passage(textOf(vote), "Raw text", "code")) : null,
  ];
  const summary = element(
    "summary",
    {},
    element("strong", {}, `Vote ${number + 1}`),
    " ",
    outcomeOf(vote, label),
    element("small", {}, detailsOf(vote)),
  );
  return element("details", { class: "vote", open: true }, summary, ...content);
}

/** A vote on one response alone; null if its raw text already shows everything. */
function partOf(part, index) {
  const content = [
    part.error ? element("p", { class: "error" }, part.error) : null,
    ...(part.rationale ? rationale({ ...part, order: [index] }, null) : []),
    part.reasoning ? passage(part.reasoning, "Reasoning", "code") : null,
  ].filter((each) => each !== null);
  return content.length ? folded(`${nameOf(index)}: ${part.status}`, ...content) : null;
}

function outcomeOf(vote, label) {
  if (vote.status !== "ok")
    return [element("span", { class: "unparsed" }, `! ${vote.status}: ${STATUSES[vote.status] ?? ""}`)];
  if (vote.order.length === 1) return chip(null, "single response");
  return [chip(vote.winner), label === null ? null : held(vote.winner === label)];
}

function detailsOf(vote) {
  const details = [
    vote.structure,
    vote.scores ? `scores ${vote.scores.map(short).join(" : ")}` : null,
    vote.probabilities ? `probabilities ${vote.probabilities.map((share) => share.toFixed(2)).join(" : ")}` : null,
    vote.residual_probability == null ? null : `residual probability ${vote.residual_probability.toFixed(2)}`,
    vote.meta_score == null ? null : `meta score ${short(vote.meta_score)}`,
    vote.included === false ? "not included" : null,
    vote.tokens.completion == null ? "tokens unknown" : plural(vote.tokens.completion, "token"),
    vote.retry_max_tokens ? `retried with max_tokens ${vote.retry_max_tokens}` : null,
  ];
  return details.filter(Boolean).join(" · ");
}

function rationale(vote, label) {
  const units = vote.rationale.units.map((unit) =>
    element(
      "li",
      { class: "unit" },
      element("h5", {}, unit.principle, " ", subVerdict(vote, unit.sub_verdict, label)),
      unit.definition ? element("p", { class: "definition" }, unit.definition) : null,
      unit.judgment ? element("p", { class: "judgment" }, unit.judgment) : null,
    ),
  );
  return [
    vote.rationale.trace ? passage(vote.rationale.trace, "Solution", "code") : null,
    units.length ? element("ol", { class: "units" }, units) : null,
  ];
}

/** Letters in a rationale refer to the order shown, so the order maps them to responses. */
function subVerdict(vote, letter, label) {
  if (letter === null) return null;
  const index = letter.length === 1 ? (vote.order[LETTERS.indexOf(letter)] ?? null) : null;
  if (index === null) return chip(null, letter.toLowerCase());
  return element(
    "span",
    { class: "sub-verdict" },
    chip(index, `${letter} = ${nameOf(index)}`),
    label === null ? null : held(index === label),
  );
}

function held(right) {
  return element("span", { class: right ? "right" : "wrong" }, right ? " ✓ right" : " ✗ wrong");
}

// Pairs of a ranking --------------------------------------------------------------------------------------------------

function pairsTable(row) {
  const head = element(
    "tr",
    {},
    ["Pair", "Verdict", "Agreement", "Votes, by order shown"].map((name) => element("th", { scope: "col" }, name)),
  );
  return element(
    "div",
    { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Pairs" },
    element("table", {}, element("thead", {}, head), element("tbody", {}, row.pairs.map(pairLine))),
  );
}

/** The text of a vote; a vote of a pointwise judge has the texts of the votes on each response. */
function textOf(vote) {
  return vote.text ?? (vote.per_response ?? []).map((part) => part.text).join("\n\n");
}

function pairLine(pair) {
  const cast = pair.votes.map((vote) =>
    element(
      "li",
      {},
      `${vote.order.map((index) => index + 1).join(" before ")}: `,
      vote.status === "ok" ? chip(vote.winner) : `${vote.status}${vote.error ? `: ${vote.error}` : ""}`,
      // Rankings may have been written without texts.
      vote.reasoning ? folded("Reasoning", passage(vote.reasoning, "Reasoning", "code")) : null,
      textOf(vote) ? folded("Text", passage(textOf(vote), "Text", "code")) : null,
    ),
  );
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, pair.pair.map((index) => index + 1).join(" and ")),
    element(
      "td",
      {},
      pair.status === "ok" ? chip(pair.winner) : element("span", { class: "unparsed" }, `! ${pair.status}`),
    ),
    element("td", {}, pair.agreement == null ? "" : percent(pair.agreement)),
    element("td", {}, element("ul", { class: "cast" }, cast)),
  );
}
