"use strict";
// The page: a filtered list of rows and the open row, with keyboard shortcuts.

const KEYS = {
  j: ["next row", () => step(1)],
  k: ["previous row", () => step(-1)],
  o: ["open or close all votes", () => foldVotes()],
  e: ["expand or collapse long texts", () => byId("row").classList.toggle("whole")],
  w: ["only wrong rows, or all", () => toggleOutcome("wrong")],
  i: ["only unparsed rows, or all", () => toggleOutcome("unparsed")],
  f: ["only flipped rows, or all", () => narrow({ flipped: !page.filters.flipped })],
  c: ["clear filters", () => narrow(NO_FILTERS)],
  "/": ["search", () => leaveRow(byId("query"))],
  t: ["light, dark or system theme", () => nextTheme()],
  "?": ["show these keys", () => byId("help").showModal()],
  Escape: ["leave a field; return to the list", () => leaveRow(byId("rows"))],
};
const LIST_KEYS = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -Infinity, End: Infinity };
const THEMES = ["auto", "light", "dark"];
const THEME_KEY = "fathom-theme";
const MAX_SUGGESTIONS = 300;
const TYPING_PAUSE = 150;

const page = { index: null, parts: null, list: null, filters: NO_FILTERS, holding: null, listed: [], open: null };

async function start() {
  showTheme(keptTheme());
  page.index = JSON.parse(await unpackedText(byId("index").textContent));
  page.parts = new Parts(document.querySelectorAll("script.part"), page.index.starts);
  page.list = new RowList(byId("rows"), open);
  fillChoices();
  fillHelp();
  listen();
  await readFragment();
  document.body.dataset.ready = "";
}

function fillChoices() {
  const { rows, principles } = page.index;
  const outcomes = counted(rows, "outcome").sort((one, other) => OUTCOMES.indexOf(one[0]) - OUTCOMES.indexOf(other[0]));
  offer("outcome", outcomes);
  offer("domain", counted(rows, "domain"));
  offer("subset", counted(rows, "subset"));
  byId("sort").replaceChildren(...Object.entries(SORTS).map(([value, [text]]) => element("option", { value }, text)));
  byId("principle").parentElement.hidden = principles.length === 0;
  byId("principles").replaceChildren(
    ...principles.slice(0, MAX_SUGGESTIONS).map((name) => element("option", { value: name })),
  );
}

/** Fills a select with the values that occur; hides it if there are fewer than two. */
function offer(name, counts) {
  const options = counts.map(([value, count]) =>
    element("option", { value }, `${value} (${count.toLocaleString("en")})`),
  );
  byId(name).replaceChildren(element("option", { value: "" }, "all"), ...options);
  byId(name).parentElement.hidden = counts.length < 2;
}

function fillHelp() {
  const lines = Object.entries(KEYS).map(([key, [does]]) =>
    element("div", {}, element("dt", {}, element("kbd", {}, key)), element("dd", {}, does)),
  );
  byId("help")
    .querySelector("dl")
    .replaceChildren(...lines);
}

function listen() {
  for (const name of CHOICES) byId(name).addEventListener("change", (event) => narrow({ [name]: event.target.value }));
  for (const name of CHECKS) byId(name).addEventListener("change", (event) => narrow({ [name]: event.target.checked }));
  for (const name of TEXTS)
    byId(name).addEventListener(
      "input",
      later((event) => narrow({ [name]: event.target.value })),
    );
  byId("back").addEventListener("click", KEYS.Escape[1]);
  byId("clear").addEventListener("click", KEYS.c[1]);
  byId("theme").addEventListener("click", KEYS.t[1]);
  byId("keys").addEventListener("click", KEYS["?"][1]);
  document.addEventListener("keydown", pressed);
  window.addEventListener("hashchange", readFragment);
}

function later(act) {
  let waiting = 0;
  return (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => act(event), TYPING_PAUSE);
  };
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const act = actionOf(event.key, event.target);
  if (!act) return;
  event.preventDefault();
  act();
}

function actionOf(key, focused) {
  if (focused.matches("input:not([type=checkbox]), select") && key !== "Escape") return null;
  if (focused === byId("rows") && Object.hasOwn(LIST_KEYS, key)) return () => step(LIST_KEYS[key]);
  if (focused === byId("rows") && key === "Enter") return () => byId("row").focus();
  return Object.hasOwn(KEYS, key) ? KEYS[key][1] : null;
}

// Filters -------------------------------------------------------------------------------------------------------------

async function readFragment() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  const wanted = parameters.get("row");
  if (wanted !== null) page.open = page.index.rows.findIndex((facts) => facts.id === wanted);
  narrow(filtersOf(parameters));
  if (page.open >= 0 && wanted !== null) await open(page.open);
  else if (wanted !== null) say(`There is no row ${wanted}.`);
}

function narrow(changes) {
  const before = page.filters.query;
  page.filters = { ...page.filters, ...changes };
  for (const name of [...CHOICES, ...TEXTS])
    if (byId(name).value !== page.filters[name]) byId(name).value = page.filters[name];
  for (const name of CHECKS) byId(name).checked = page.filters[name];
  byId("clear").hidden = fragmentOf(page.filters, null) === "";
  writeFragment();
  if (page.filters.query !== before) search(page.filters.query);
  else showListed();
}

function toggleOutcome(outcome) {
  narrow({ outcome: page.filters.outcome === outcome ? "" : outcome });
}

async function search(query) {
  const holding = query ? new Set() : null;
  page.holding = holding;
  highlight(byId("row"), query);
  showListed();
  if (!query) return;
  await page.parts.search(query, (numbers, share) => {
    if (page.holding !== holding) return false;
    for (const number of numbers) holding.add(number);
    if (numbers.length || share === 1) showListed(share);
    return true;
  });
}

function showListed(searched = page.holding?.size === 0 ? 0 : 1) {
  page.listed = passing(page.index, page.filters, page.holding);
  page.list.show(page.index.rows, page.listed);
  if (page.open === null && page.listed.length) read(page.listed[0]);
  const total = page.index.rows.length;
  const count =
    page.listed.length === total
      ? plural(total, "row")
      : `${page.listed.length.toLocaleString("en")} of ${plural(total, "row")}`;
  byId("count").textContent = searched < 1 ? `${count}, searching: ${percent(searched)}` : count;
}

function writeFragment() {
  const id = page.index.rows[page.open]?.id ?? null;
  const fragment = fragmentOf(page.filters, id);
  if (fragment !== location.hash.slice(1)) history.replaceState(null, "", `#${fragment}`);
}

// The row that is read ------------------------------------------------------------------------------------------------

/** Opens a row on request of the user; `read` alone is also used to preselect the first row. */
async function open(number) {
  document.body.dataset.pane = "row";
  await read(number);
  writeFragment();
}

async function read(number) {
  page.open = number;
  page.list.activate(number);
  const row = await page.parts.row(number);
  if (page.open !== number) return;
  byId("row").replaceChildren(...documentOf(row));
  byId("row").scrollTop = 0;
  highlight(byId("row"), page.filters.query);
}

function say(text) {
  byId("row").replaceChildren(element("p", { class: "result" }, text));
}

function step(by) {
  const last = page.listed.length - 1;
  const at = page.listed.indexOf(page.open);
  if (last >= 0) open(page.listed[at < 0 ? 0 : Math.min(last, Math.max(0, at + by))]);
}

function leaveRow(target) {
  document.body.dataset.pane = "list";
  target.focus();
}

function foldVotes() {
  const cards = [...document.querySelectorAll("details.vote")];
  const opening = cards.some((card) => !card.open);
  for (const card of cards) card.open = opening;
}

/** Highlights the query without changing the document. */
function highlight(root, query) {
  if (!globalThis.CSS?.highlights) return;
  CSS.highlights.delete("query");
  if (!query) return;
  const pattern = new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
  const ranges = [];
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (texts.nextNode())
    for (const match of texts.currentNode.data.matchAll(pattern)) ranges.push(rangeOf(texts.currentNode, match));
  CSS.highlights.set("query", new Highlight(...ranges));
}

function rangeOf(node, match) {
  const range = new Range();
  range.setStart(node, match.index);
  range.setEnd(node, match.index + match[0].length);
  return range;
}

// Colours -------------------------------------------------------------------------------------------------------------

function keptTheme() {
  try {
    return localStorage.getItem(THEME_KEY) ?? "auto";
  } catch {
    return "auto"; // pages opened from files may have no storage
  }
}

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  showTheme(next);
  try {
    localStorage.setItem(THEME_KEY, next);
  } catch {
    return;
  }
}

function showTheme(theme) {
  const known = THEMES.includes(theme) ? theme : "auto";
  document.documentElement.dataset.theme = known;
  byId("theme").textContent = `Colours: ${known}`;
}

start();
