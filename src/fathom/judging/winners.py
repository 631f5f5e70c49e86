"""The best response of each row of results, as data: for best-of-n, and to fine-tune on.

kept = Winners(ties="skip")
rows = list(kept.of(runs.open("rankings.jsonl").rows()))
kept.counts                                # {"written": 18, "tie": 2, "unparsed": 0, "margin": 0}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from fathom.errors import FathomError
from fathom.results.rows import Row

LeftOut = Literal["unparsed", "tie", "margin"]


@dataclass
class Winners:
    """What is kept, and the counts of what was written and left out, by reason.

    `ties` leaves out rows whose best score is shared, or takes the response that stands first among the best.
    `min_margin` leaves out those whose best score is nearer to the next one.
    """

    ties: Literal["skip", "first"] = "skip"
    min_margin: float = 0.0
    counts: Counter[str] = field(default_factory=lambda: Counter(written=0, unparsed=0, tie=0, margin=0))

    def of(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        """Rows in TRL's layout of prompt and completion: text, or messages where the prompt is a conversation.

        Beside these are the id, the response's place and score, the margin to the next best (None without one), and
        the source's other columns; one that has a name of these gets `source_` before it. Raises FathomError for rows
        that are no results of several responses.
        """
        for row in rows:
            found = self._best(row)
            self.counts["written" if isinstance(found, int) else found] += 1
            if isinstance(found, int):
                yield _winner_row(row, found)

    def _best(self, row: Row) -> int | LeftOut:
        _check(row)
        parsed = bool(row["order"]) if "pairs" in row else row["status"] == "ok"
        if not parsed:
            return "unparsed"
        scored = _scored(row)
        if row["winner"] is None and self.ties == "skip":
            return "tie"
        best = row["winner"] if row["winner"] is not None else max(scored, key=lambda place: (scored[place], -place))
        margin = _margin(row, best)
        return "margin" if margin is not None and margin < self.min_margin else best


def _check(row: Row) -> None:
    if len(row["responses"]) < 2:
        raise FathomError(f"row {row['id']!r} has 1 response; the best of several takes at least 2")


def _scored(row: Row) -> dict[int, float]:
    """The responses that have a score."""
    return {place: score for place, score in enumerate(row["scores"] or ()) if score is not None}


def _margin(row: Row, best: int) -> float | None:
    scored = _scored(row)
    others = [score for place, score in scored.items() if place != best]
    return scored[best] - max(others) if others else None


def _winner_row(row: Row, best: int) -> dict[str, Any]:
    text = row["responses"][best]
    made = {
        "prompt": row["prompt"],
        "completion": text if isinstance(row["prompt"], str) else [{"role": "assistant", "content": text}],
        "id": row["id"],
        "index": best,
        "score": _scored(row)[best],
        "margin": _margin(row, best),
    }
    return made | {f"source_{name}" if name in made else name: value for name, value in row["metadata"].items()}
