"""What a file of verdicts amounts to: how often the judge was right, and how much of it could be read.

    tallies = tally(rows)                  # rows as `fathom judge` writes them
    tallies["all"].accuracy                # Interval(mean=0.71, low=..., high=...)

Accuracy comes in several forms, always together, because each alone can be made to look good. `accuracy` counts a tie
and an unparsed verdict as wrong; `accuracy_parsed` leaves the unparsed ones out, and `parse_rate` is the share of the
others; `accuracy_half_ties` is `accuracy` with 0.5 for a tie. `baselines` are what rules reach that read no response.

Intervals are clustered by prompt: correlated rows of one prompt do not count as independent.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from fathom.engines.usage import Usage
from fathom.metrics.baselines import Baselines
from fathom.metrics.calibration import Calibration, confidences
from fathom.metrics.intervals import Interval, Shares
from fathom.metrics.separation import Separation
from fathom.results.rows import (
    VerdictRow,
    VoteRow,
    accuracy,
    accuracy_half_ties,
    counted_votes,
    is_correct,
    is_labelled,
    pointwise_score,
    prompt_key,
    reported,
    usage,
)

FIGURES = (
    "accuracy",
    "accuracy_parsed",
    "parse_rate",
    "accuracy_half_ties",
    "tied",
    "flip_rate",
    "agreement",
    "residual_probability",
)


@dataclass
class Tally:
    """Counts over verdicts. A figure is None where no row had what it needs: a label, a verdict, several votes."""

    rows: int = 0
    labelled: int = 0
    """Rows whose label names one best response, or says that a single one is right; only these have an accuracy."""
    correct: int = 0
    status: Counter[str] = field(default_factory=Counter)
    votes: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    """Of the votes without a verdict, their statuses."""
    errors: Counter[str] = field(default_factory=Counter)
    """Of the votes with an error, its text."""
    structure: Counter[str] = field(default_factory=Counter)
    """The structures of the parsed votes' rationales."""
    usage: Usage = field(default_factory=Usage)
    shares: Shares = field(default_factory=Shares)
    """Those of `FIGURES`."""
    baselines: Baselines = field(default_factory=Baselines)
    alone: Separation = field(default_factory=Separation)
    """Scores of single responses that a label calls right or wrong."""
    calibration: dict[str, Calibration] = field(default_factory=lambda: defaultdict(Calibration))
    """By what the confidence comes from: "probabilities" of verdicts, share of the "votes". Of labelled rows."""

    def add(self, row: VerdictRow) -> None:
        prompt = prompt_key(row)
        self.rows += 1
        self.status[row["status"]] += 1
        self.usage += usage(row)
        self._add_votes(row["votes"])
        self.shares.add(dict(_figures(row)), prompt)
        self.alone.add(pointwise_score(row), is_correct(row))
        if is_labelled(row):
            self.labelled += 1
            self.correct += bool(row["correct"])
            self.baselines.add(row, prompt)
            for source, confidence in confidences(row).items():
                self.calibration[source].add(confidence, right=bool(row["correct"]))

    def _add_votes(self, votes: Iterable[VoteRow]) -> None:
        for vote in votes:
            self.votes += 1
            if vote["error"] is not None:
                self.errors[vote["error"]] += 1
            if vote["status"] != "ok":
                self.invalid[vote["status"]] += 1
            elif vote["structure"] is not None:
                self.structure[vote["structure"]] += 1

    def count(self, figure: str) -> int:
        """The number of rows that a figure of `FIGURES` is the mean of."""
        return self.shares.count(figure)

    @property
    def accuracy(self) -> Interval | None:
        """Correct verdicts over labelled rows: a tie and an unparsed verdict are wrong."""
        return self.shares.interval("accuracy")

    @property
    def accuracy_parsed(self) -> Interval | None:
        """Correct verdicts over labelled rows whose verdict was parsed: a tie is wrong."""
        return self.shares.interval("accuracy_parsed")

    @property
    def parse_rate(self) -> Interval | None:
        """The share of the rows with status `ok`."""
        return self.shares.interval("parse_rate")

    @property
    def accuracy_half_ties(self) -> Interval | None:
        """A tie counts 0.5: a judge that names whatever it sees first, asked in both orders, has exactly 0.5."""
        return self.shares.interval("accuracy_half_ties")

    @property
    def tied(self) -> Interval | None:
        """The share of parsed verdicts on several responses that name none of them."""
        return self.shares.interval("tied")

    @property
    def flip_rate(self) -> Interval | None:
        """How often a vote names another outcome in another order; the mean of the rows that have several orders."""
        return self.shares.interval("flip_rate")

    @property
    def agreement(self) -> Interval | None:
        """Share of parsed votes that name the verdict's outcome; the mean of the rows with several of them.

        Of a tie that no vote names, the share of the most frequent outcome counts (`fathom.judges.Verdict`).
        """
        return self.shares.interval("agreement")

    @property
    def residual_probability(self) -> Interval | None:
        """The probability of all words but those that the judge weighs: a mean over rows whose votes have it, parsed
        or not. The higher it is, the less the model answered the question.
        """
        return self.shares.interval("residual_probability")


def _figures(row: VerdictRow) -> Iterable[tuple[str, float]]:
    """The figures that a row has a part in."""
    parsed = row["status"] == "ok"
    yield "parse_rate", float(parsed)
    if is_labelled(row):
        yield "accuracy", accuracy(row)
        yield "accuracy_half_ties", accuracy_half_ties(row)
        if parsed:
            yield "accuracy_parsed", accuracy(row)
    if parsed and len(row["responses"]) > 1:
        yield "tied", float(row["winner"] is None)
    if row["flip_rate"] is not None:
        yield "flip_rate", row["flip_rate"]
    if parsed and row["agreement"] is not None and len(counted_votes(row)) > 1:
        yield "agreement", row["agreement"]
    residual = [mass for vote in row["votes"] if (mass := vote["residual_probability"]) is not None]
    if residual:
        yield "residual_probability", fmean(residual)


def tally(rows: Iterable[VerdictRow]) -> dict[str, Tally]:
    """Tallies of all rows, under "all", and of each domain that occurs."""
    tallies: dict[str, Tally] = {"all": Tally()}
    for row in rows:
        count(row, tallies)
    return tallies


def count(row: VerdictRow, tallies: dict[str, Tally]) -> None:
    """Adds one row, for those who see rows one at a time."""
    for group in dict.fromkeys(("all", row["domain"] or "all")):
        tallies.setdefault(group, Tally()).add(row)


def summary(tallies: Mapping[str, Tally]) -> dict[str, Any]:
    """The tallies as plain JSON. An interval is [mean, low, high] at 95 %; "counts" are the rows that each is of."""
    return {group: _summary(tallied) for group, tallied in tallies.items()}


def _summary(tally: Tally) -> dict[str, Any]:
    return {
        "rows": tally.rows,
        "labelled": tally.labelled,
        "correct": tally.correct,
        **{name: getattr(tally, name) for name in FIGURES},
        "counts": {name: tally.count(name) for name in FIGURES},
        "auc": tally.alone.auc,
        "baselines": tally.baselines.accuracy,
        "calibration": {
            source: {"ece": found.ece, "brier": found.brier, "rows": found.count, "bins": found.bins}
            for source, found in tally.calibration.items()
        },
        "status": tally.status,
        "votes": tally.votes,
        "invalid": tally.invalid,
        "errors": dict(tally.errors.most_common(1)),
        "structure": tally.structure,
        **reported(tally.usage),
    }
