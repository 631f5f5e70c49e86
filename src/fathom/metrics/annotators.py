"""Agreement with people: of the judge with the label and with each annotator, and of the annotators among themselves.

    people = People()
    for row in runs.open("verdicts.jsonl").rows():
        people.add(row)
    found = people.agreement
    found.kappa                      # Cohen's kappa of verdict and label
    found.alpha                      # Krippendorff's, of the annotators
    found.ceiling, found.judge       # how often an annotator, and how often the judge, says what most others say

The human ceiling is measured by leaving one annotator out: how often this one names what most of the others name. Where
the others are divided evenly there is nothing to name, and the case is left out. The judge is compared with the very
same others, case by case, so the two figures have one scale. A judge above the ceiling is nearer to the majority than a
single annotator is. A verdict that could not be read agrees with nobody.

Outcomes are the place of the better response, or a tie. A single response is right or wrong, by labels of 1 and 0, and
to the judge by its threshold. Ratings of single responses on another scale have an alpha at interval level alone.
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
"""The place of the better response (of a single one: 1 for right, 0 for wrong), `TIE` or `UNPARSED`."""


class Pair(NamedTuple):
    """How two raters agree on the rows that both of them rated."""

    rows: int
    agreement: Interval | None
    kappa: Interval | None
    """Cohen's; None where one label is all that was ever given."""


@dataclass(frozen=True)
class Agreement:
    """`dataclasses.asdict` makes it plain JSON. Intervals are by prompt; figures without rows are None."""

    label: Pair
    """The judge and the label, which is a majority where there are annotators."""
    annotators: Mapping[str, Pair]
    """The judge and each annotator."""
    rows: int
    """Rows with two annotators or more: those of all figures below."""
    alpha: Interval | None
    """Krippendorff's alpha, nominal; of ratings at interval level."""
    fleiss: Interval | None = None
    """Fleiss' kappa; None where the rows have different numbers of annotators."""
    ceiling: Interval | None = None
    judge: Interval | None = None
    cases: int = 0
    """Annotators left out of rows with a majority of others: those that the ceiling and `judge` are the mean of."""


@dataclass
class People:
    """Outcomes of rows as they come."""

    label: _Rated = field(default_factory=lambda: _Rated())
    annotators: dict[str, _Rated] = field(default_factory=lambda: defaultdict(_Rated))
    units: list[list[float | str]] = field(default_factory=list)
    """What the annotators of a row said, where two or more said something."""
    clusters: list[int] = field(default_factory=list)
    on_scale: bool = True
    """Whether all that annotators said is numbers of single responses, not all of which are 0 and 1."""
    ceiling: Share = field(default_factory=Share)
    judge: Share = field(default_factory=Share)

    def add(self, row: VerdictRow) -> None:
        """A row of `fathom judge`; it counts where it has a label or annotations."""
        cluster, verdict = prompt_key(row), _of_judge(row)
        if (label := _of_label(row, row["label"], row["label_scores"])) is not None:
            self.label.add(verdict, label, cluster)
        said = {name: outcome for name, outcome in _of_annotators(row) if outcome is not None}
        for name, outcome in said.items():
            self.annotators[name].add(verdict, outcome, cluster)
        if len(ratings := _ratings(row)) > 1:
            self.units.append(ratings)
            self.clusters.append(cluster)
            self.on_scale &= len(row["responses"]) == 1
        for one, majority in _without_each(list(said.values())):
            self.ceiling.add(float(one == majority), cluster)
            self.judge.add(float(verdict == majority), cluster)

    @cached_property
    def agreement(self) -> Agreement:
        label, rows = self.label.pair, len(self.units)
        if self.on_scale and any(value not in (0, 1) for unit in self.units for value in unit):
            alpha = krippendorff_alpha(self.units, self.clusters, level="interval")
            return Agreement(label=label, annotators={}, rows=rows, alpha=alpha)
        alike = len({len(unit) for unit in self.units}) == 1
        return Agreement(
            label=label,
            annotators={name: rated.pair for name, rated in self.annotators.items()},
            rows=rows,
            alpha=krippendorff_alpha(self.units, self.clusters),
            fleiss=fleiss_kappa(self.units, self.clusters) if alike else None,
            ceiling=self.ceiling.interval,
            judge=self.judge.interval,
            cases=len(self.ceiling),
        )


@dataclass
class _Rated:
    """The judge's outcomes and those of one rater, on the same rows."""

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
    score, bound = pointwise_score(row), row["threshold"]
    return UNPARSED if score is None or bound is None else int(score >= bound)


def _of_label(row: VerdictRow, best: int | None, scores: Sequence[float] | None) -> Outcome | None:
    """None for a row without a label, and for one response whose label is neither 1 nor 0, or which has no bound."""
    if len(row["responses"]) > 1:
        return best if best is not None else TIE if scores else None
    binary = scores is not None and scores[0] in (0, 1) and row["threshold"] is not None
    return int(scores[0]) if binary and scores else None


def _of_annotators(row: VerdictRow) -> Iterator[tuple[str, Outcome | None]]:
    for name, said in row.get("annotations", {}).items():
        yield name, _of_label(row, _best(said), said.get("scores"))


def _best(said: LabelRow) -> int | None:
    """The response that a label calls the best; None for a tie."""
    if said.get("best") is not None:
        return int(said["best"])
    if ranking := said.get("ranking"):
        return int(ranking[0])
    scores = said["scores"]
    return scores.index(max(scores)) if len(scores) > 1 and scores.count(max(scores)) == 1 else None


def _ratings(row: VerdictRow) -> list[float | str]:
    """What each annotator said: of several responses the outcome, of a single one its score."""
    said = row.get("annotations", {}).values()
    if len(row["responses"]) == 1:
        return [float(each["scores"][0]) for each in said if each.get("scores")]
    return [TIE if (best := _best(each)) is None else float(best) for each in said]


def _without_each(outcomes: Sequence[Outcome]) -> Iterator[tuple[Outcome, Outcome]]:
    """Each annotator's outcome with the most frequent one of the others, where there is just one such."""
    counts = Counter(outcomes)
    for one in outcomes:
        others = (counts - Counter([one])).most_common(2)
        if others and (len(others) == 1 or others[0][1] > others[1][1]):
            yield one, others[0][0]
