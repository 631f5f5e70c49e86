"use strict";
// Elements made of names in this file and text from data. Text only ever becomes a text node, so that markup in what a
// model wrote is shown and not obeyed. No link is made of data.

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null));
  return made;
}

function byId(id) {
  return document.getElementById(id);
}

function percent(share) {
  return `${Math.round(share * 100)} %`;
}

/** A number in few digits: 3, 0.91, -1.97. */
function short(number) {
  return String(Number(number.toPrecision(3))).replace("-", "−");
}

function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** A text that keeps its line breaks and scrolls by keyboard where it is long. */
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
