"""Step-level metrics: does a reward model find the first wrong step, and does it score right steps above wrong ones?

    first_error_accuracy([((None,), None), ((2,), 2), ((1,), 3)]).f1                 # 2/3: of 1.0 and 0.5
    tally = StepTally(); tally.add(row); tally.f1(threshold=0.5), tally.tuned_on("gsm8k"), tally.auc_within_length

Source: ProcessBench (arXiv 2412.06559), section 4: the harmonic mean of the accuracy on solutions with an error and of
that on solutions without one.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from statistics import fmean
from typing import NamedTuple

from fathom.data.steps import first_error
from fathom.metrics.intervals import Share
from fathom.metrics.separation import Separation, auc
from fathom.metrics.step_baselines import RULES
from fathom.metrics.step_calibration import StepCalibration
from fathom.rationale import Status
from fathom.results.rows import Row, pointwise_score, prompt_key


class FirstErrors(NamedTuple):
    """Accuracy at finding the first wrong step, 0 to 1; None where there is no such solution."""

    erroneous: float | None
    """On solutions with a wrong step: the share whose first one is named."""
    correct: float | None
    """On solutions without one: the share that is called right throughout."""

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both; None unless there are solutions of both kinds."""
        if self.erroneous is None or self.correct is None:
            return None
        total = self.erroneous + self.correct
        return 2 * self.erroneous * self.correct / total if total else 0.0


def voted_first_error(votes: Iterable[Sequence[float | None]], threshold: float = 0.5) -> tuple[int | None] | None:
    """The first error that most votes name, in a tuple; None without votes.

    Of several that are named equally often, it is the one named first, as in ProcessBench's run_eval.py.
    """
    ranked = Counter(first_error(vote, threshold) for vote in votes).most_common(1)  # in the order of first appearance
    return (ranked[0][0],) if ranked else None


def first_error_accuracy(pairs: Iterable[tuple[tuple[int | None] | None, int | None]]) -> FirstErrors:
    """Of pairs of what a model names (`voted_first_error`) and the true first error; no prediction counts as wrong."""
    hits: dict[bool, list[float]] = {True: [], False: []}
    for named, true in pairs:
        hits[true is not None].append(float(named is not None and named[0] == true))
    return FirstErrors(*(fmean(hits[kind]) if hits[kind] else None for kind in (True, False)))


# Rows -----------------------------------------------------------------------------------------------------------------


def step_scores(row: Row) -> list[Sequence[float | None]]:
    """The step scores of the only response in each parsed vote that counts; empty without such votes."""
    if "pairs" in row or len(row["responses"]) != 1:
        return []
    counted = (vote for vote in row["votes"] if vote["status"] == Status.OK and vote["included"])
    return [vote["step_scores"][0] for vote in counted if vote["step_scores"]]


def labelled_steps(row: Row) -> Sequence[float | None]:
    """The label of each step of the only response; empty if steps have no labels."""
    label = row["full_label"]
    return label["steps"][0] if label and "steps" in label and len(label["steps"]) == 1 else ()


def labelled_first_error(row: Row) -> int | None:
    """The index of the first step whose label is below 0.5; None if there is none."""
    return first_error(labelled_steps(row))


def wrong_by_length(row: Row) -> bool:
    """Whether a single response is below its threshold only because the scores of its steps are multiplied.

    No single step is below the threshold, in any vote. The product of n steps of 0.96 is below 0.5 from n = 17 on.
    """
    if "pairs" in row or row["threshold"] is None or row["rule"]["steps"] != "prod":
        return False
    score, steps = pointwise_score(row), [step for vote in step_scores(row) for step in vote if step is not None]
    return bool(steps) and score is not None and score < row["threshold"] <= min(steps)


def has_steps(row: Row) -> bool:
    """Whether a row has labelled steps, and a judge that scores steps: a vote with step scores, or none that parsed."""
    unparsed = "pairs" not in row and row["status"] not in (Status.OK, Status.FAILED)
    return bool(row.get("steps") and labelled_steps(row) and (unparsed or step_scores(row)))


# Tallies --------------------------------------------------------------------------------------------------------------

DECILES = 10
REACH = 5
"""The largest distance from the first wrong step, in steps, in `StepTally.profile`."""


class Thresholds(NamedTuple):
    """The thresholds above `low`, up to and including `high`, at which a solution is judged as its label says."""

    low: float
    high: float

    def __contains__(self, threshold: object) -> bool:
        return isinstance(threshold, float | int) and self.low < threshold <= self.high


def right_thresholds(scores: Sequence[float | None], true: int | None) -> Thresholds:
    """The thresholds at which the first step that scores below the threshold is the step `true`, or none is.

    That step is the first below t if its score is below t and no earlier one is: score < t <= min(earlier scores).
    """
    judged = [inf if score is None else score for score in scores]
    if true is None:
        return Thresholds(-inf, min(judged, default=inf))
    if true >= len(judged):
        return Thresholds(inf, inf)
    return Thresholds(judged[true], min(judged[:true], default=inf))


Kinds = Mapping[bool, Sequence[Thresholds]]
"""The thresholds of the solutions with a wrong step (True) and of those without one (False)."""


def _f1(groups: Sequence[Kinds], threshold: float) -> float | None:
    found = {wrong: [threshold in each for kind in groups for each in kind[wrong]] for wrong in (True, False)}
    return FirstErrors(*(fmean(found[wrong]) if found[wrong] else None for wrong in (True, False))).f1


def _best_threshold(kinds: Kinds) -> float:
    """The threshold with the highest F1: the lowest of these that is 0.5 or an upper bound of some solution.

    F1 changes only where a solution starts or stops to be judged rightly, so no other threshold is better.
    """
    candidates = sorted({each.high for kind in kinds.values() for each in kind if -inf < each.high < inf} | {0.5})
    return max(candidates, key=lambda threshold: (_f1([kinds], threshold) or 0.0, -threshold))


def best_f1(solutions: Iterable[tuple[Sequence[float | None], int | None]]) -> float | None:
    """ProcessBench's F1 at the best threshold for these solutions, from their step scores and true first errors.

    None unless there are solutions with an error and without one. The threshold is chosen with the same labels, so the
    figure is optimistic.
    """
    kinds: dict[bool, list[Thresholds]] = {True: [], False: []}
    for scores, true in solutions:
        kinds[true is not None].append(right_thresholds(scores, true))
    return _f1([kinds], _best_threshold(kinds))


@dataclass
class StepTally:
    """Collects the step scores of rows with one response and labelled steps.

    The scores of several votes are averaged. Rows without a parsed vote count as wrong in `f1`, and have no scores.
    """

    thresholds: dict[str, dict[bool, list[Thresholds]]] = field(default_factory=dict)
    """By subset (`metadata["subset"]`, or ""), and by whether there is a wrong step."""
    scores: array[float] = field(default_factory=lambda: array("d"))
    """The score of each labelled step."""
    right: array[int] = field(default_factory=lambda: array("b"))
    """1 for each step whose label is at least 0.5."""
    lengths: array[int] = field(default_factory=lambda: array("l"))
    """The length of each step in characters."""
    calibrated: StepCalibration = field(default_factory=StepCalibration)
    """How well the score of a step predicts that it is right."""
    profile: dict[int, Share] = field(default_factory=dict)
    """In solutions with a wrong step, the scores of steps by their distance from the first wrong one, up to `REACH`."""
    by_type: dict[str, Separation] = field(default_factory=dict)
    """The scores of right and of wrong steps by the type of the step, for steps whose type is known."""
    by_rule: dict[str, dict[bool, list[Thresholds]]] = field(default_factory=dict)
    """As `thresholds`, over all subsets, for each baseline (`step_baselines`) that applies."""

    def add(self, row: Row) -> None:
        """Add a row for which `has_steps` holds."""
        labels, votes = labelled_steps(row), step_scores(row)
        true, problem = labelled_first_error(row), prompt_key(row)
        scores = mean_step_scores(votes, len(labels))
        of_subset = self.thresholds.setdefault(str(row["metadata"].get("subset", "")), {True: [], False: []})
        of_subset[true is not None].append(right_thresholds(scores, true) if votes else Thresholds(inf, inf))
        types = row.get("step_types", [[None] * len(labels)])[0]
        for label, score, step, kind in zip(labels, scores, row["steps"][0], types, strict=False):
            if label is not None and score is not None:
                self.scores.append(score)
                self.right.append(label >= 0.5)
                self.lengths.append(len(step))
                self.calibrated.add(score, right=label >= 0.5, problem=problem)
                if kind is not None:
                    self.by_type.setdefault(kind, Separation()).add(score, label >= 0.5)
        if true is not None:
            self._add_distances(scores, true, problem)
        for name, rule in RULES.items():
            if (by_rule := rule(row)) is not None:
                kinds = self.by_rule.setdefault(name, {True: [], False: []})
                kinds[true is not None].append(right_thresholds(by_rule, true))

    def _add_distances(self, scores: Sequence[float | None], true: int, problem: int) -> None:
        for place, score in enumerate(scores):
            if score is not None and abs(place - true) <= REACH:
                self.profile.setdefault(place - true, Share()).add(min(max(score, 0.0), 1.0), problem)

    def f1(self, threshold: float = 0.5, subset: str | None = None) -> float | None:
        """ProcessBench's F1 at a threshold, over all solutions or those of a subset; None unless both kinds exist."""
        return _f1([self.thresholds[subset]] if subset is not None else list(self.thresholds.values()), threshold)

    @property
    def f1_of_baselines(self) -> Mapping[str, float]:
        """F1 at 0.5 of the rules that read no step, by name."""
        found = {name: _f1([kinds], 0.5) for name, kinds in self.by_rule.items()}
        return {name: f1 for name, f1 in found.items() if f1 is not None}

    @property
    def solutions(self) -> int:
        return sum(len(kind) for both in self.thresholds.values() for kind in both.values())

    @property
    def tunable(self) -> list[str]:
        """The subsets on which a threshold can be tuned for others: both have solutions with and without an error."""
        complete = [subset for subset in self.thresholds if self.f1(0.5, subset) is not None]
        return complete if len(complete) > 1 else []

    def best_threshold(self, subset: str) -> float:
        """The threshold with the highest F1 on a subset; the lowest of several."""
        return _best_threshold(self.thresholds[subset])

    def tuned_on(self, subset: str) -> Mapping[str, float]:
        """F1 of every other subset at the threshold that is best on `subset`, and their mean as "average"."""
        threshold = self.best_threshold(subset)
        others = {name: self.f1(threshold, name) for name in self.thresholds if name != subset}
        found = {name: f1 for name, f1 in others.items() if f1 is not None}
        return {"average": fmean(found.values())} | found if found else {}

    @property
    def auc(self) -> float | None:
        """The area under the ROC curve of the scores of right and of wrong steps."""
        return self._auc(self.scores)

    @property
    def auc_of_shortness(self) -> float | None:
        """The same for a baseline that reads nothing: the shorter step scores higher."""
        return self._auc([-length for length in self.lengths])

    @property
    def auc_within_length(self) -> float | None:
        """The AUC over pairs of a right and a wrong step of similar length, from the same decile of lengths.

        A score that follows the length alone is near 0.5 here.
        """
        ordered = sorted(range(len(self.scores)), key=lambda place: self.lengths[place])
        pairs = agreeing = 0.0
        for decile in range(DECILES):
            places = ordered[decile * len(ordered) // DECILES : (decile + 1) * len(ordered) // DECILES]
            groups = [[self.scores[place] for place in places if self.right[place] == kind] for kind in (1, 0)]
            if (area := auc(*groups)) is not None:
                weight = len(groups[0]) * len(groups[1])
                pairs, agreeing = pairs + weight, agreeing + area * weight
        return agreeing / pairs if pairs else None

    def _auc(self, scores: Sequence[float]) -> float | None:
        groups = [[score for score, right in zip(scores, self.right, strict=True) if right == kind] for kind in (1, 0)]
        return auc(*groups)


def count(row: Row, tallies: dict[str, StepTally]) -> None:
    """Add a row to the tally of all rows and to that of the model that wrote the solution, if the row names it."""
    if has_steps(row):
        generator = row["metadata"].get("generator")
        for name in ("all", *([str(generator)] if generator else [])):
            tallies.setdefault(name, StepTally()).add(row)


def summary(tallies: Mapping[str, StepTally]) -> dict[str, dict[str, float | None]]:
    """The metrics of each tally as plain JSON."""
    return {
        name: {
            "solutions": tally.solutions,
            "f1": tally.f1(),
            **{f"f1_of_{name}": f1 for name, f1 in tally.f1_of_baselines.items()},
            "auc": tally.auc,
            "auc_within_length": tally.auc_within_length,
            "auc_of_shortness": tally.auc_of_shortness,
            "ece": tally.calibrated.raw.ece,
            "temperature": tally.calibrated.temperature,
            "ece_with_temperature": held_out.ece if (held_out := tally.calibrated.tempered) else None,
            **{f"f1_tuned_on_{subset}": tally.tuned_on(subset)["average"] for subset in tally.tunable},
            **{f"auc_of_type_{kind}": found.auc for kind, found in tally.by_type.items()},
        }
        for name, tally in tallies.items()
    }


def mean_step_scores(votes: Sequence[Sequence[float | None]], count: int) -> list[float | None]:
    """The mean score of each step over the votes that judge it; None if none does."""
    by_step = [[vote[step] for vote in votes if step < len(vote)] for step in range(count)]
    judged = [[score for score in scores if score is not None] for scores in by_step]
    return [fmean(scores) if scores else None for scores in judged]
