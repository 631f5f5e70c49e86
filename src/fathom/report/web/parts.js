"use strict";
// The rows in the page: parts of base64 of gzip of JSON lines. A part is unpacked when one of its rows is needed, and the
// most recently used parts stay in memory.

const MAX_KEPT_PARTS = 8;

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
    const lines = this.kept.get(part) ?? this.unpackedLines(part);
    this.kept.delete(part);
    this.kept.set(part, lines);
    if (this.kept.size > MAX_KEPT_PARTS) this.kept.delete(this.kept.keys().next().value);
    return lines;
  }

  async unpackedLines(part) {
    return (await unpackedText(this.elements[part].textContent)).split("\n");
  }

  async row(number) {
    const part = this.starts.findLastIndex((start) => start <= number);
    return JSON.parse((await this.lines(part))[number - this.starts[part]]);
  }

  /** Calls `report(numbers, share)` per part with its rows that contain the query, until it returns false. */
  async search(query, report) {
    const spelled = JSON.stringify(query).slice(1, -1).toLowerCase();
    for (let part = 0; part < this.elements.length; part += 1) {
      // Not through `lines`: a search reads all parts once and must not evict those in use.
      const lines = await this.unpackedLines(part);
      const holding = lines.flatMap((line, place) => (holds(line, spelled, query) ? [this.starts[part] + place] : []));
      if (!report(holding, (part + 1) / this.elements.length)) return;
      await new Promise((resume) => setTimeout(resume));
    }
  }
}

/** Whether a value of the row contains the query. The search in the line is only a fast filter: it also matches keys. */
function holds(line, spelled, query) {
  return line.toLowerCase().includes(spelled) && anyText(JSON.parse(line), query.toLowerCase());
}

function anyText(value, query) {
  if (typeof value === "string") return value.toLowerCase().includes(query);
  return value !== null && typeof value === "object" && Object.values(value).some((inner) => anyText(inner, query));
}
