"use strict";
// Filters of the list, stored in the fragment of the address (#row=pair-7&outcome=wrong&flipped=1), so that links can
// point to a filtered list and a row.

const OUTCOMES = ["right", "wrong", "tie", "unparsed", "unlabelled"];
const SORTS = {
  file: ["file order", null],
  agreement: ["lowest agreement", (facts) => facts.agreement ?? 2],
  tokens: ["most tokens", (facts) => -facts.tokens],
};
const CHOICES = ["outcome", "domain", "subset", "sort"];
const TEXTS = ["query", "principle"];
const CHECKS = ["flipped", "divided", "unparsed"];
const NO_FILTERS = {
  outcome: "",
  domain: "",
  subset: "",
  sort: "file",
  query: "",
  principle: "",
  flipped: false,
  divided: false,
  unparsed: false,
};

function filtersOf(parameters) {
  const filters = { ...NO_FILTERS };
  for (const name of [...CHOICES, ...TEXTS]) filters[name] = parameters.get(name) ?? NO_FILTERS[name];
  for (const name of CHECKS) filters[name] = parameters.has(name);
  return Object.hasOwn(SORTS, filters.sort) ? filters : { ...filters, sort: "file" };
}

function fragmentOf(filters, id) {
  const active = Object.entries(filters).filter(([name, value]) => value !== NO_FILTERS[name]);
  const parameters = new URLSearchParams(active.map(([name, value]) => [name, value === true ? "1" : value]));
  if (id !== null) parameters.set("row", id);
  return String(parameters);
}

/** The numbers of the rows that pass the filters, sorted. `holding` has the rows that contain the query, or is null. */
function passing(index, filters, holding) {
  const named = principlesNamed(index.principles, filters.principle);
  const passes = (facts, number) =>
    (!filters.outcome || facts.outcome === filters.outcome) &&
    (!filters.domain || facts.domain === filters.domain) &&
    (!filters.subset || facts.subset === filters.subset) &&
    (!filters.flipped || facts.flipped) &&
    (!filters.divided || facts.divided) &&
    (!filters.unparsed || facts.unparsed > 0) &&
    (named === null || facts.principles.some((principle) => named.has(principle))) &&
    (holding === null || holding.has(number));
  const numbers = index.rows.flatMap((facts, number) => (passes(facts, number) ? [number] : []));
  const key = SORTS[filters.sort][1];
  return key ? numbers.sort((one, other) => key(index.rows[one]) - key(index.rows[other]) || one - other) : numbers;
}

function principlesNamed(principles, wanted) {
  const part = wanted.trim().toLowerCase();
  if (!part) return null;
  return new Set(principles.flatMap((name, place) => (name.includes(part) ? [place] : [])));
}

/** The number of rows with each value of a fact, the most frequent first. */
function counted(rows, name) {
  const counts = new Map();
  for (const facts of rows) if (facts[name] !== null) counts.set(facts[name], (counts.get(facts[name]) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1]);
}
