"""Agreement with people: the judge with the label, the judge with each annotator, and annotators with each other.

    people = People()
    for row in runs.open("verdicts.jsonl").rows():
        people.add(row)
    agreement = people.agreement
    agreement.label.kappa                    # Cohen's kappa of verdict and label
    agreement.alpha                          # Krippendorff's alpha of the annotators
    agreement.ceiling, agreement.judge       # how often an annotator and the judge agree with the other annotators

The human ceiling is a leave-one-out measure: how often the annotator who is left out agrees with the majority of the
others. A case without a majority is left out. The judge is compared with the same majorities, so the two numbers are
comparable: a judge above the ceiling agrees with the majority more often than a single annotator does. An unparsed
verdict agrees with nobody.

An outcome is the index of the better response, or a tie. For a single response it is right or wrong: labels must be 1
or 0, and the judge's score is compared with its threshold. For ratings on other scales, only an interval-level alpha is
computed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from fathom.metrics.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha
from fathom.metrics.intervals import Interval, Share
from fathom.results.rows import LabelRow, VerdictRow, pointwise_score, prompt_key

TIE = "tie"
UNPARSED = "unparsed"
Outcome = int | str
"""The index of the better response (for a single response: 1 for right, 0 for wrong), `TIE` or `UNPARSED`."""


class Pair(NamedTuple):
    """The agreement of two raters on the rows that both rated."""

    rows: int
    agreement: Interval | None
    kappa: Interval | None
    """Cohen's kappa; None if only one label occurs."""


@dataclass(frozen=True)
class Agreement:
    """Measures of agreement. `dataclasses.asdict` converts them to plain JSON. Intervals are clustered by prompt; a
    measure without rows is None."""

    label: Pair
    """The judge and the label, which is the annotators' majority if there are annotators."""
    annotators: Mapping[str, Pair]
    """The judge and each annotator, by name."""
    rows: int
    """Rows with at least two annotators. All measures below are computed from these rows."""
    alpha: Interval | None
    """Krippendorff's alpha of the annotators: nominal for outcomes, interval for ratings."""
    fleiss: Interval | None = None
    """Fleiss' kappa of the annotators; None if rows have different numbers of annotators."""
    ceiling: Interval | None = None
    """How often an annotator agrees with the majority of the others."""
    judge: Interval | None = None
    """How often the judge agrees with the same majorities."""
    cases: int = 0
    """The number of leave-one-out cases with a majority, over which `ceiling` and `judge` are means."""


@dataclass
class People:
    """Collects the outcomes of rows; `agreement` has the measures."""

    label: _Rated = field(default_factory=lambda: _Rated())
    annotators: dict[str, _Rated] = field(default_factory=lambda: defaultdict(_Rated))
    units: list[list[float | str]] = field(default_factory=list)
    """The annotators' outcomes or ratings of each row with at least two."""
    clusters: list[int] = field(default_factory=list)
    on_scale: bool = True
    """Whether every row so far has a single response, so that its ratings are numbers on a scale."""
    ceiling: Share = field(default_factory=Share)
    judge: Share = field(default_factory=Share)

    def add(self, row: VerdictRow) -> None:
        """Add a row of `fathom judge`. A row without label and annotations has no effect."""
        cluster, verdict = prompt_key(row), _of_judge(row)
        if (label := _of_label(row, row["label"], row["label_scores"])) is not None:
            self.label.add(verdict, label, cluster)
        outcomes = {name: outcome for name, outcome in _of_annotators(row) if outcome is not None}
        for name, outcome in outcomes.items():
            self.annotators[name].add(verdict, outcome, cluster)
        if len(ratings := _ratings(row)) > 1:
            self.units.append(ratings)
            self.clusters.append(cluster)
            self.on_scale &= len(row["responses"]) == 1
        for one, majority in _leave_one_out(list(outcomes.values())):
            self.ceiling.add(float(one == majority), cluster)
            self.judge.add(float(verdict == majority), cluster)

    @cached_property
    def agreement(self) -> Agreement:
        label, rows = self.label.pair, len(self.units)
        if self.on_scale and any(value not in (0, 1) for unit in self.units for value in unit):
            alpha = krippendorff_alpha(self.units, self.clusters, level="interval")
            return Agreement(label=label, annotators={}, rows=rows, alpha=alpha)
        # Fleiss' kappa is defined only if every row has the same number of raters.
        equal_sizes = len({len(unit) for unit in self.units}) == 1
        return Agreement(
            label=label,
            annotators={name: rated.pair for name, rated in self.annotators.items()},
            rows=rows,
            alpha=krippendorff_alpha(self.units, self.clusters),
            fleiss=fleiss_kappa(self.units, self.clusters) if equal_sizes else None,
            ceiling=self.ceiling.interval,
            judge=self.judge.interval,
            cases=len(self.ceiling),
        )


@dataclass
class _Rated:
    """The outcomes of the judge and of one rater on the same rows."""

    judge: list[Outcome] = field(default_factory=list)
    rater: list[Outcome] = field(default_factory=list)
    clusters: list[int] = field(default_factory=list)
    same: Share = field(default_factory=Share)

    def add(self, verdict: Outcome, outcome: Outcome, cluster: int) -> None:
        self.judge.append(verdict)
        self.rater.append(outcome)
        self.clusters.append(cluster)
        self.same.add(float(verdict == outcome), cluster)

    @property
    def pair(self) -> Pair:
        return Pair(len(self.judge), self.same.interval, cohen_kappa(self.judge, self.rater, self.clusters))


# Outcomes of a row ----------------------------------------------------------------------------------------------------


def _of_judge(row: VerdictRow) -> Outcome:
    if row["status"] != "ok":
        return UNPARSED
    if len(row["responses"]) > 1:
        return TIE if row["winner"] is None else int(row["winner"])
    score, threshold = pointwise_score(row), row["threshold"]
    return UNPARSED if score is None or threshold is None else int(score >= threshold)


def _of_label(row: VerdictRow, best: int | None, scores: Sequence[float] | None) -> Outcome | None:
    """The outcome of a label. None without a label, and for a single response whose label is neither 1 nor 0 or whose
    judge has no threshold."""
    if len(row["responses"]) > 1:
        return best if best is not None else TIE if scores else None
    binary = scores is not None and scores[0] in (0, 1) and row["threshold"] is not None
    return int(scores[0]) if binary and scores else None


def _of_annotators(row: VerdictRow) -> Iterator[tuple[str, Outcome | None]]:
    for name, label in row.get("annotations", {}).items():
        yield name, _of_label(row, _best(label), label.get("scores"))


def _best(label: LabelRow) -> int | None:
    """The index of the best response by a label; None for a tie."""
    if label.get("best") is not None:
        return int(label["best"])
    if ranking := label.get("ranking"):
        return int(ranking[0])
    scores = label["scores"]
    return scores.index(max(scores)) if len(scores) > 1 and scores.count(max(scores)) == 1 else None


def _ratings(row: VerdictRow) -> list[float | str]:
    """Each annotator's outcome if there are several responses, or score if there is one."""
    labels = row.get("annotations", {}).values()
    if len(row["responses"]) == 1:
        return [float(label["scores"][0]) for label in labels if label.get("scores")]
    return [TIE if (best := _best(label)) is None else float(best) for label in labels]


def _leave_one_out(outcomes: Sequence[Outcome]) -> Iterator[tuple[Outcome, Outcome]]:
    """Each annotator's outcome with the most frequent outcome of the others. Skips cases where that is not unique."""
    counts = Counter(outcomes)
    for one in outcomes:
        others = (counts - Counter([one])).most_common(2)
        if others and (len(others) == 1 or others[0][1] > others[1][1]):
            yield one, others[0][0]
