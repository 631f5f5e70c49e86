"""Calibration: how well a judge's confidence predicts how often it is right.

    calibration = Calibration()
    calibration.add(0.9, right=True)
    calibration.ece, calibration.brier

Both metrics use the confidence c in the verdict, not a distribution over all outcomes. Let y be 1 if the verdict is
right, else 0:

- ECE, the expected calibration error, is sum_b (n_b / n) |mean c - mean y| over `BINS` bins b of equal width (Guo et
  al. 2017, arXiv 1706.04599). It is biased upwards if bins hold few rows: a perfectly calibrated judge whose confidence
  is uniform on [0.5, 1] has an ECE of 0.04 on average on 300 rows.
- The Brier score is the mean of (c - y)^2 (Brier 1950, Monthly Weather Review 78).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import exp
from statistics import fmean
from typing import NamedTuple

from fathom.results.rows import VerdictRow, counted_votes, vote_text

BINS = 10


class Bin(NamedTuple):
    """One non-empty bin of a reliability diagram."""

    low: float
    high: float
    rows: int
    confidence: float
    """The mean over the rows of the bin, as is `accuracy`."""
    accuracy: float


@dataclass
class Calibration:
    """Counts and sums per bin: [0, 0.1), [0.1, 0.2), ..., [0.9, 1]."""

    rows: list[int] = field(default_factory=lambda: [0] * BINS)
    confidence: list[float] = field(default_factory=lambda: [0.0] * BINS)
    """The sum of confidences in each bin."""
    right: list[int] = field(default_factory=lambda: [0] * BINS)
    """The number of right verdicts in each bin."""
    squares: float = 0.0
    """The sum of (confidence - right)^2 over all rows."""

    def add(self, confidence: float, *, right: bool) -> None:
        """Add a row; `confidence` is 0 to 1."""
        place = min(int(confidence * BINS), BINS - 1)
        self.rows[place] += 1
        self.confidence[place] += confidence
        self.right[place] += right
        self.squares += (confidence - right) ** 2

    @property
    def count(self) -> int:
        """The number of rows added."""
        return sum(self.rows)

    @property
    def ece(self) -> float | None:
        """The expected calibration error, 0 (best) to 1; None without rows."""
        # n_b cancels: (n_b / n) |sum c / n_b - sum y / n_b| = |sum c - sum y| / n.
        gaps = (abs(sure - right) for sure, right in zip(self.confidence, self.right, strict=True))
        return sum(gaps) / self.count if self.count else None

    @property
    def brier(self) -> float | None:
        """The Brier score, 0 (best) to 1; None without rows. A constant confidence of 0.5 has 0.25."""
        return self.squares / self.count if self.count else None

    @property
    def bins(self) -> list[Bin]:
        """The non-empty bins, for a reliability diagram."""
        return list(self._bins())

    def _bins(self) -> Iterator[Bin]:
        for place, (rows, sure, right) in enumerate(zip(self.rows, self.confidence, self.right, strict=True)):
            if rows:
                yield Bin(place / BINS, (place + 1) / BINS, rows, sure / rows, right / rows)


def confidences(row: VerdictRow) -> dict[str, float]:
    """The confidence of a row in its winner, 0 to 1, by source: "probabilities" (mean over votes), "scores" (their
    softmax) and "votes" (share).

    "probabilities" requires probabilities from every counted vote, "scores" those of a model that writes no text
    (`raw_scores`), and "votes" at least two counted votes. Empty for a tie and for an unparsed row, which have no
    winner.
    """
    votes, winner = counted_votes(row), row["winner"]
    if winner is None or not votes:
        return {}
    by_source = {}
    probabilities = [vote["probabilities"][winner] for vote in votes if vote["probabilities"] is not None]
    if len(probabilities) == len(votes):
        # Rounding can put a sum of probabilities just above 1.
        by_source["probabilities"] = min(1.0, fmean(probabilities))
    if (scores := raw_scores(row)) is not None:
        by_source["scores"] = 1 / sum(exp(min(score - scores[winner], 700.0)) for score in scores)
    if len(votes) > 1:
        by_source["votes"] = fmean(vote["winner"] == winner for vote in votes)
    return by_source


def raw_scores(row: VerdictRow) -> list[float] | None:
    """The mean score of each response over the counted votes, for models that write no text; else None.

    A scalar model trained by Bradley-Terry gives log-odds: the softmax of its scores is the probability that a response
    is the best; for two, sigmoid of their difference. A generative judge's points are on another scale.
    """
    votes = counted_votes(row)
    scores = [vote["scores"] for vote in votes if vote["scores"] is not None]
    of_a_panel = any("judge" in vote for vote in votes)
    if not votes or len(scores) < len(votes) or of_a_panel or any(vote_text(vote).strip() for vote in votes):
        return None
    return [fmean(each) for each in zip(*scores, strict=True)]
