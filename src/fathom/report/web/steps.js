"use strict";
// A solution step by step: scores, labels, the first error by each, what votes say of a step, and a chart of the scores.

const CHART = { width: 600, height: 130, left: 30, right: 10, top: 10, bottom: 24 };
const MAX_DOTS = 200;
/** A step below it is wrong, as in `fathom.metrics.steps`. The threshold of a row is for the score of the solution. */
const THRESHOLD = 0.5;
const LABELS = { right: "✓ right by the label", wrong: "✗ wrong by the label", unknown: "no label" };

/** The steps of a response with what is known of each; null for a response without steps. */
function stepsOf(row, index) {
  const texts = row.steps?.[index];
  if (!texts) return null;
  const labels = row.full_label?.steps?.[index] ?? [];
  const types = row.step_types?.[index] ?? [];
  const cast = "pairs" in row ? [] : stepVotes(row, index);
  return texts.map((text, place) => ({
    text,
    type: types[place] ?? null,
    label: labels[place] ?? null,
    scores: cast.map((scores) => scores[place] ?? null),
    score: meanOf(cast.map((scores) => scores[place] ?? null)),
    notes: "pairs" in row ? [] : notesOn(row, index, place),
  }));
}

/** The step scores of a response in each parsed vote that counts. */
function stepVotes(row, index) {
  const counted = row.votes.filter((vote) => vote.status === "ok" && vote.included !== false && vote.step_scores);
  return counted.map((vote) => vote.step_scores[index] ?? []);
}

function meanOf(scores) {
  const known = scores.filter((score) => score !== null);
  return known.length ? known.reduce((sum, score) => sum + score, 0) / known.length : null;
}

/** What rationales say of a step: the judgments of their units named "Step 1", "Step 2", ... */
function notesOn(row, index, place) {
  const own = row.votes.map((vote) => vote.per_response?.[index] ?? (row.responses.length === 1 ? vote : null));
  const units = own.flatMap((vote) => vote?.rationale?.units ?? []);
  const named = units.filter((unit) => new RegExp(`^step ${place + 1}$`, "i").test(unit.principle.trim()));
  return named.map((unit) => unit.judgment).filter(Boolean);
}

function kindOf(label) {
  if (label === null) return "unknown";
  return label < THRESHOLD ? "wrong" : "right";
}

function firstBelow(values) {
  const place = values.findIndex((value) => value !== null && value < THRESHOLD);
  return place < 0 ? null : place;
}

/** The card's content: a sentence, a chart of the scores, and the list of steps. */
function stepList(row, index) {
  const steps = stepsOf(row, index);
  const byLabel = firstBelow(steps.map((step) => step.label));
  const byScore = firstBelow(steps.map((step) => step.score));
  const scored = steps.some((step) => step.score !== null);
  return [
    element("p", { class: "first-error" }, firstErrors(steps, byLabel, scored ? byScore : undefined)),
    scored ? stepChart(steps, byLabel) : null,
    element(
      "ol",
      { class: "steps", "aria-label": `Steps of ${nameOf(index)}` },
      steps.map((step, place) => stepItem(step, place, place === byLabel, place === byScore)),
    ),
  ];
}

function firstErrors(steps, byLabel, byScore) {
  const named = (place) => (place === null ? "none" : `step ${place + 1}`);
  const labelled = steps.some((step) => step.label !== null);
  const parts = [
    labelled ? `First error by the label: ${named(byLabel)}` : "No labels",
    byScore === undefined ? "no scores" : `first error by the scores (below ${THRESHOLD}): ${named(byScore)}`,
  ];
  return parts.join("; ");
}

function stepItem(step, place, wrongByLabel, wrongByScore) {
  const kind = kindOf(step.label);
  return element(
    "li",
    { class: `step ${kind}` },
    element(
      "p",
      { class: "step-facts" },
      element("strong", {}, `Step ${place + 1}`),
      step.type === null ? null : element("span", { class: "step-type" }, step.type),
      step.label === null ? null : element("span", { class: kind }, labelText(step.label)),
      wrongByLabel ? element("span", { class: "tag label-error" }, "first error by the label") : null,
      wrongByScore ? element("span", { class: "tag score-error" }, "first error by the scores") : null,
      step.score === null
        ? null
        : element("span", { class: `score ${step.score < THRESHOLD ? "wrong" : "right"}` }, scoresText(step)),
    ),
    element("div", { class: "step-text" }, step.text || "(empty)"),
    step.notes.map((note) => element("p", { class: "judgment" }, note)),
  );
}

function labelText(label) {
  const text = LABELS[kindOf(label)];
  return label === 0 || label === 1 ? text : `${text} (${short(label)})`;
}

function scoresText(step) {
  const all = step.scores.filter((score) => score !== null);
  return `score ${short(step.score)}${all.length > 1 ? ` (mean of ${all.map(short).join(", ")})` : ""}`;
}

// Chart ---------------------------------------------------------------------------------------------------------------

/** Scores from 0 to 1 by step, with the threshold, and with the labels as colours and signs. */
function stepChart(steps, byLabel) {
  const { width, height, left, right, top, bottom } = CHART;
  const across = (place) => left + ((width - left - right) * (place + 0.5)) / steps.length;
  const up = (score) => height - bottom - (height - top - bottom) * Math.min(Math.max(score, 0), 1);
  const known = steps.flatMap((step, place) => (step.score === null ? [] : [[across(place), up(step.score), step, place]]));
  const line = known.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  return shape(
    "svg",
    { class: "step-chart", role: "img", "aria-label": "Scores by step", viewBox: `0 0 ${width} ${height}` },
    [0, 1].flatMap((value) => [
      shape("line", { class: "axis", x1: left, x2: width - right, y1: up(value), y2: up(value) }),
      shape("text", { class: "note", x: left - 8, y: up(value) + 4, "text-anchor": "end" }, String(value)),
    ]),
    shape("line", { class: "threshold", x1: left, x2: width - right, y1: up(THRESHOLD), y2: up(THRESHOLD) }),
    byLabel === null
      ? []
      : shape("line", { class: "error-line", x1: across(byLabel), x2: across(byLabel), y1: top, y2: height - bottom }),
    shape("polyline", { class: "score-line", points: line }),
    steps.length > MAX_DOTS ? [] : known.map(([x, y, step, place]) => dot(x, y, step, place)),
    shape("text", { class: "note", x: across(0), y: height - 6, "text-anchor": "middle" }, "1"),
    steps.length > 1
      ? shape("text", { class: "note", x: across(steps.length - 1), y: height - 6, "text-anchor": "middle" }, String(steps.length))
      : [],
    shape("text", { class: "note", x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, "step"),
  );
}

/** A dot for a right step, a cross for a wrong one, and a ring for one without a label. */
function dot(x, y, step, place) {
  const kind = kindOf(step.label);
  const hint = shape("title", {}, `step ${place + 1}: score ${short(step.score)}, ${LABELS[kind]}`);
  if (kind !== "wrong") return shape("circle", { class: `dot ${kind}`, cx: x, cy: y, r: 4 }, hint);
  const path = `M${x - 4},${y - 4}L${x + 4},${y + 4}M${x - 4},${y + 4}L${x + 4},${y - 4}`;
  return shape("path", { class: `dot ${kind}`, d: path }, hint);
}

function shape(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...children.flat());
  return node;
}
