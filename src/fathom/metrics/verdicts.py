"""Metrics of verdicts: accuracy, parse rate, flip rate, agreement and their intervals.

    tallies = tally(rows)                  # rows of `fathom judge`
    tallies["all"].accuracy                # Interval(mean=0.71, low=..., high=...)

Accuracy is reported in three forms, because any single one can hide a weakness. `accuracy` counts ties and unparsed
verdicts as wrong. `accuracy_parsed` excludes unparsed verdicts; `parse_rate` is the share of the others.
`accuracy_half_ties` is `accuracy` with 0.5 for a tie. `baselines` has the accuracy of rules that read no response.

Intervals are clustered by prompt, because rows of one prompt are correlated.
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
from fathom.metrics.margins import Margins, row_margins
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
    """Counts and metrics of verdicts. Metrics have 95 % intervals that are clustered by prompt.

    A metric is None if no row has the data for it: a label, a verdict or several votes.
    """

    rows: int = 0
    labelled: int = 0
    """Rows whose label names one best response, or says whether a single response is right. Only these have an
    accuracy."""
    correct: int = 0
    status: Counter[str] = field(default_factory=Counter)
    votes: int = 0
    invalid: Counter[str] = field(default_factory=Counter)
    """The statuses of the votes without a verdict."""
    errors: Counter[str] = field(default_factory=Counter)
    """The error messages of votes."""
    structure: Counter[str] = field(default_factory=Counter)
    """The structures of the parsed votes' rationales."""
    usage: Usage = field(default_factory=Usage)
    shares: Shares = field(default_factory=Shares)
    """The value of each metric of `FIGURES` in each row."""
    baselines: Baselines = field(default_factory=Baselines)
    alone: Separation = field(default_factory=Separation)
    """The scores of single responses that a label calls right or wrong."""
    calibration: dict[str, Calibration] = field(default_factory=lambda: defaultdict(Calibration))
    """The calibration over labelled rows, by the source of the confidence: "probabilities", "scores" or "votes"."""

    margins: Margins = field(default_factory=Margins)
    """The score differences of models that write no text."""

    def add(self, row: VerdictRow) -> None:
        """Add a row to all counts."""
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
            for margin in row_margins(row):
                self.margins.add(margin, prompt)

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
        """The number of rows over which a metric of `FIGURES` is a mean."""
        return self.shares.count(figure)

    @property
    def accuracy(self) -> Interval | None:
        """The share of labelled rows with a correct verdict; ties and unparsed verdicts are wrong."""
        return self.shares.interval("accuracy")

    @property
    def accuracy_parsed(self) -> Interval | None:
        """The share of labelled and parsed rows with a correct verdict; ties are wrong."""
        return self.shares.interval("accuracy_parsed")

    @property
    def parse_rate(self) -> Interval | None:
        """The share of rows with status `ok`."""
        return self.shares.interval("parse_rate")

    @property
    def accuracy_half_ties(self) -> Interval | None:
        """As `accuracy`, but a tie counts 0.5. A judge that always names the first response, asked in both orders, has
        exactly 0.5."""
        return self.shares.interval("accuracy_half_ties")

    @property
    def tied(self) -> Interval | None:
        """The share of parsed verdicts on several responses that are ties."""
        return self.shares.interval("tied")

    @property
    def flip_rate(self) -> Interval | None:
        """How often votes in different orders name different outcomes: the mean over rows with several orders."""
        return self.shares.interval("flip_rate")

    @property
    def agreement(self) -> Interval | None:
        """The share of parsed votes that name the verdict's outcome: the mean over rows with several counted votes.

        For a tie that no vote names, it is the share of the most frequent outcome (`fathom.judges.Verdict`).
        """
        return self.shares.interval("agreement")

    @property
    def residual_probability(self) -> Interval | None:
        """The probability of tokens other than the judge's options: the mean over rows that have it, parsed or not.

        If it is high, the model did not answer in the requested form.
        """
        return self.shares.interval("residual_probability")


def _figures(row: VerdictRow) -> Iterable[tuple[str, float]]:
    """The name and value of each metric that is defined for a row."""
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
    """Tally all rows, under "all", and the rows of each domain."""
    tallies: dict[str, Tally] = {"all": Tally()}
    for row in rows:
        count(row, tallies)
    return tallies


def count(row: VerdictRow, tallies: dict[str, Tally]) -> None:
    """Add one row to the tallies, for callers that process rows one at a time."""
    for group in dict.fromkeys(("all", row["domain"] or "all")):
        tallies.setdefault(group, Tally()).add(row)


def summary(tallies: Mapping[str, Tally]) -> dict[str, Any]:
    """The tallies as plain JSON. An interval is [mean, low, high] at 95 %; "counts" has the rows per metric."""
    return {group: _summary(tally) for group, tally in tallies.items()}


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
            source: {"ece": measured.ece, "brier": measured.brier, "rows": measured.count, "bins": measured.bins}
            for source, measured in tally.calibration.items()
        },
        "margins": _margins(tally.margins),
        "status": tally.status,
        "votes": tally.votes,
        "invalid": tally.invalid,
        "errors": dict(tally.errors.most_common(1)),
        "structure": tally.structure,
        **reported(tally.usage),
    }


def _margins(margins: Margins) -> dict[str, Any] | None:
    if not (parts := margins.by_size()):
        return None
    return {
        "pairs": len(margins.values),
        "temperature": margins.temperature,
        "ece_with_temperature": margins.ece_with_temperature,
        "by_size": parts,
    }
