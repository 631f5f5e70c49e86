"use strict";
// Builds elements. Data only ever becomes text nodes, so that markup in model output is shown and not interpreted. Data
// never becomes a link.

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null));
  return node;
}

function byId(id) {
  return document.getElementById(id);
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}

/** A number with three significant digits: 3, 0.91, -1.97. */
function short(number) {
  return String(Number(number.toPrecision(3))).replace("-", "−");
}

function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** A text that keeps its line breaks and can be scrolled by keyboard. */
function passage(text, label, kind = "prose") {
  return element(
    "div",
    { class: `passage ${kind}`, tabindex: "0", role: "region", "aria-label": label },
    text || "(empty)",
  );
}

function folded(title, ...content) {
  return element("details", {}, element("summary", {}, title), ...content);
}
