"use strict";
// The rows, as the page holds them: parts of base 64 of gzip of JSON lines. A part is unpacked when one of its rows is
// wanted; the few that were last used are kept.

const MOST_KEPT_PARTS = 8;

async function unpackedText(packed) {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

class Parts {
  /** `starts[p]` is the number of the first row of part p. */
  constructor(elements, starts) {
    this.elements = elements;
    this.starts = starts;
    this.kept = new Map();
  }

  /** The lines of a part, one row each. */
  lines(part) {
    const found = this.kept.get(part) ?? this.unpackedLines(part);
    this.kept.delete(part);
    this.kept.set(part, found);
    if (this.kept.size > MOST_KEPT_PARTS) this.kept.delete(this.kept.keys().next().value);
    return found;
  }

  async unpackedLines(part) {
    return (await unpackedText(this.elements[part].textContent)).split("\n");
  }

  async row(number) {
    const part = this.starts.findLastIndex((start) => start <= number);
    return JSON.parse((await this.lines(part))[number - this.starts[part]]);
  }

  /** Calls `found(numbers, share)` for each part in turn, with its rows that hold the query, until that is false. */
  async search(query, found) {
    const spelled = JSON.stringify(query).slice(1, -1).toLowerCase();
    for (let part = 0; part < this.elements.length; part += 1) {
      // Not through `lines`: to read all parts once must not push out those that are looked at.
      const lines = await this.unpackedLines(part);
      const holding = lines.flatMap((line, place) => (holds(line, spelled, query) ? [this.starts[part] + place] : []));
      if (!found(holding, (part + 1) / this.elements.length)) return;
      await new Promise((resume) => setTimeout(resume));
    }
  }
}

/** Whether a value in the line holds the query. The names of keys do not count, so the line alone does not tell. */
function holds(line, spelled, query) {
  return line.toLowerCase().includes(spelled) && anyText(JSON.parse(line), query.toLowerCase());
}

function anyText(value, query) {
  if (typeof value === "string") return value.toLowerCase().includes(query);
  return value !== null && typeof value === "object" && Object.values(value).some((inner) => anyText(inner, query));
}
