"""Whether a judge is right as often as it is sure.

    calibration = Calibration()
    calibration.add(0.9, right=True)
    calibration.ece, calibration.brier

Both are of the confidence in the verdict that was given, not of a whole distribution: ECE is the expected calibration
error in `BINS` bins of equal width (Guo et al. 2017, arXiv 1706.04599), Brier the mean squared distance to being right
(Brier 1950). ECE is biased upwards where bins hold few rows: a perfectly calibrated judge whose confidences spread
evenly from 0.5 to 1 has 0.04 on average on 300 rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

from fathom.results.rows import VerdictRow, counted_votes

BINS = 10


class Bin(NamedTuple):
    low: float
    high: float
    rows: int
    confidence: float
    """Mean of the rows in the bin."""
    accuracy: float


@dataclass
class Calibration:
    """Counts by bin: [0, 0.1), [0.1, 0.2), ..., [0.9, 1]."""

    rows: list[int] = field(default_factory=lambda: [0] * BINS)
    confidence: list[float] = field(default_factory=lambda: [0.0] * BINS)
    """Sums, as those of `right`."""
    right: list[int] = field(default_factory=lambda: [0] * BINS)
    squares: float = 0.0

    def add(self, confidence: float, *, right: bool) -> None:
        place = min(int(confidence * BINS), BINS - 1)
        self.rows[place] += 1
        self.confidence[place] += confidence
        self.right[place] += right
        self.squares += (confidence - right) ** 2

    @property
    def count(self) -> int:
        """The rows that both figures are of."""
        return sum(self.rows)

    @property
    def ece(self) -> float | None:
        """0 to 1, 0 is best; None for no rows."""
        gaps = (abs(sure - right) for sure, right in zip(self.confidence, self.right, strict=True))
        return sum(gaps) / self.count if self.count else None

    @property
    def brier(self) -> float | None:
        """0 to 1, 0 is best, 0.25 is what 0.5 always earns; None for no rows."""
        return self.squares / self.count if self.count else None

    @property
    def bins(self) -> list[Bin]:
        """Those that hold rows, for a reliability diagram."""
        return list(self._bins())

    def _bins(self) -> Iterator[Bin]:
        for place, (rows, sure, right) in enumerate(zip(self.rows, self.confidence, self.right, strict=True)):
            if rows:
                yield Bin(place / BINS, (place + 1) / BINS, rows, sure / rows, right / rows)


def confidences(row: VerdictRow) -> dict[str, float]:
    """How sure a row is of its winner, by source: mean "probabilities" of the votes, share of the "votes".

    A source that a row does not have is missing: probabilities are needed of every vote that decides, and a share of
    votes needs two of them. Empty for a tie and for a row that could not be read, which name nobody.
    """
    votes, winner = counted_votes(row), row["winner"]
    if winner is None or not votes:
        return {}
    found = {}
    probabilities = [vote["probabilities"][winner] for vote in votes if vote["probabilities"] is not None]
    if len(probabilities) == len(votes):
        # Rounding can put a sum of probabilities just above 1.
        found["probabilities"] = min(1.0, fmean(probabilities))
    if len(votes) > 1:
        found["votes"] = fmean(vote["winner"] == winner for vote in votes)
    return found
