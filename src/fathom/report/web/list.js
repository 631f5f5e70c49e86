"use strict";
// A virtual list: only the visible rows and a few around them are in the document.

const ROW_HEIGHT = 54;
const BESIDE = 6;
const MARKS = { right: "✓", wrong: "✗", tie: "=", unparsed: "!", unlabelled: "·" };

class RowList {
  constructor(container, chosen) {
    this.container = container;
    this.space = element("div", { class: "space", role: "presentation" });
    this.rows = [];
    this.numbers = [];
    this.active = null;
    container.replaceChildren(this.space);
    container.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(container);
    this.space.addEventListener("click", (event) => {
      const option = event.target.closest("[data-number]");
      if (option) chosen(Number(option.dataset.number));
    });
  }

  /** Shows the rows with these numbers; `rows[number]` has the facts of a row. */
  show(rows, numbers) {
    this.rows = rows;
    this.numbers = numbers;
    this.space.style.height = `${numbers.length * ROW_HEIGHT}px`;
    this.draw();
  }

  /** Marks a row as open, and scrolls it into view. */
  activate(number) {
    this.active = number;
    const top = this.numbers.indexOf(number) * ROW_HEIGHT;
    const { scrollTop, clientHeight } = this.container;
    if (top >= 0 && top < scrollTop) this.container.scrollTop = top;
    if (top + ROW_HEIGHT > scrollTop + clientHeight) this.container.scrollTop = top + ROW_HEIGHT - clientHeight;
    this.draw();
  }

  draw() {
    const { scrollTop, clientHeight } = this.container;
    const first = Math.max(0, Math.floor(scrollTop / ROW_HEIGHT) - BESIDE);
    const last = Math.min(this.numbers.length, Math.ceil((scrollTop + clientHeight) / ROW_HEIGHT) + BESIDE);
    this.space.replaceChildren(
      ...this.numbers.slice(first, last).map((number, place) => this.option(number, first + place)),
    );
    const active = this.space.querySelector("[aria-selected=true]");
    if (active) this.container.setAttribute("aria-activedescendant", active.id);
    else this.container.removeAttribute("aria-activedescendant");
  }

  option(number, place) {
    const facts = this.rows[number];
    const option = element(
      "div",
      {
        id: `option-${number}`,
        class: `option ${facts.outcome}`,
        role: "option",
        "data-number": number,
        "aria-selected": String(number === this.active),
        "aria-posinset": place + 1,
        "aria-setsize": this.numbers.length,
      },
      element("span", { class: "mark", role: "img", "aria-label": facts.outcome }, MARKS[facts.outcome]),
      element("span", { class: "id" }, facts.id),
      element("span", { class: "notes" }, notes(facts)),
      element("span", { class: "start" }, facts.prompt),
    );
    option.style.top = `${place * ROW_HEIGHT}px`;
    return option;
  }
}

function notes(facts) {
  const parts = [
    facts.flipped ? "flipped" : facts.divided ? "divided" : null,
    facts.unparsed ? `${facts.unparsed} unparsed` : null,
  ];
  return parts.filter(Boolean).join(", ") || (facts.domain ?? "");
}
