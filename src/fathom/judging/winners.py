"""The best response of each result row as training data, for best-of-n and fine-tuning.

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
    """Selects winners, and counts the rows written and left out, by reason.

    If the best score is shared, `ties` either skips the row or takes the first of the best responses. Rows whose margin
    to the next best response is below `min_margin` are left out.
    """

    ties: Literal["skip", "first"] = "skip"
    min_margin: float = 0.0
    counts: Counter[str] = field(default_factory=lambda: Counter(written=0, unparsed=0, tie=0, margin=0))

    def of(self, rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
        """Rows in TRL's prompt-completion layout: texts, or messages if the prompt is a conversation.

        A row also has the id, the index and score of the response, its margin to the next best one (None without one)
        and the other columns of the source. A source column with one of these names is prefixed with `source_`. Raises
        FathomError for a row with a single response.
        """
        for row in rows:
            best = self._best(row)
            self.counts["written" if isinstance(best, int) else best] += 1
            if isinstance(best, int):
                yield _winner_row(row, best)

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
        raise FathomError(f"row {row['id']!r} has 1 response; expected at least 2 to choose from")


def _scored(row: Row) -> dict[int, float]:
    """The scores by response, for responses that have one."""
    return {place: score for place, score in enumerate(row["scores"] or ()) if score is not None}


def _margin(row: Row, best: int) -> float | None:
    scored = _scored(row)
    others = [score for place, score in scored.items() if place != best]
    return scored[best] - max(others) if others else None


def _winner_row(row: Row, best: int) -> dict[str, Any]:
    text = row["responses"][best]
    columns = {
        "prompt": row["prompt"],
        "completion": text if isinstance(row["prompt"], str) else [{"role": "assistant", "content": text}],
        "id": row["id"],
        "index": best,
        "score": _scored(row)[best],
        "margin": _margin(row, best),
    }
    return columns | {f"source_{name}" if name in columns else name: value for name, value in row["metadata"].items()}
