"""Four kinds of verifiers on one file of candidates: outcome or process, discriminative or generative.

The claims are those of Multi-RM (arXiv 2510.00492), with noise that is planted in the verifiers' decisions; and ours
about how much quieter decisions on steps must be. multi_rm.yaml states them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from fathom.data.reading import read, write_jsonl
from fathom.data.records import Comparison, Label
from fathom.judges import Judge, RewardModel, Verdict, reduce_steps
from fathom.judges.processbench import ProcessBenchJudge
from fathom.judges.yes_no import YesNoJudge
from fathom.lab.chains import Problem, ends_right, operations
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.lab.planted import PlantedEngine, Truth
from fathom.report.figures import lines
from fathom.results.provenance import write_json
from fathom.rewards.process import ProcessRewardModel
from fathom.rewards.scalar import ScalarRewardModel
from fathom.settings import StepReduction
from fathom.voting.wrappers import Repeated

KINDS: Mapping[str, str] = {
    "scalar": "discriminative, outcome",
    "process": "discriminative, process",
    "yes_no": "generative, outcome",
    "processbench": "generative, process",
}
"""By the name of the judge."""
PROCESS = ("process", "processbench")
REDUCTIONS: tuple[StepReduction, ...] = ("min", "prod", "mean", "last")
RATIOS = (0.25, 0.5, 0.75, 1.0, 1.25)
"""The noise of a decision on a step, relative to that of a decision on a solution."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    lengths: Sequence[int]
    """Steps per solution, in ascending order."""
    problems: int
    """Problems of each length."""
    candidates: int
    solved: float
    """The chance that all steps of a candidate are right, at every length."""
    noise: float
    """The standard deviation of a decision; the truth is +1 or -1."""
    votes: int
    """Samples of each generative verifier."""
    shared: float


# Candidates -----------------------------------------------------------------------------------------------------------


def candidates(steps: int, settings: Settings, seed: int) -> list[Comparison]:
    """One comparison per problem, with labelled steps and the answer as reference."""
    rng = random.Random(f"multi-rm/{steps}/{seed}")
    error = 1 - settings.solved ** (1 / steps)
    chains = [Problem(f"{steps}-{n}", operations(steps, rng), error, 0.0) for n in range(settings.problems)]
    return [_comparison(chain, settings.candidates, rng) for chain in chains]


def _comparison(problem: Problem, count: int, rng: random.Random) -> Comparison:
    """Candidates are numbered in their texts, so that equal ones get independent noise."""
    sampled = [problem.sampled(rng) for _ in range(count)]
    steps = []
    for number, values in enumerate(sampled):
        first, *rest = problem.texts(values)
        steps.append((f"Attempt {problem.id}-{number}. {first}", *rest))
    labels = tuple(
        tuple(float(value == problem.operations[k](problem.before(values, k))) for k, value in enumerate(values))
        for values in sampled
    )
    return Comparison(
        id=problem.id,
        prompt=problem.prompt,
        responses=tuple("".join(each) for each in steps),
        steps=tuple(steps),
        reference=" ".join(map(str, problem.answer)),
        label=Label(steps=labels),
    )


def right(comparison: Comparison) -> list[bool]:
    """Whether the answer of each candidate is right."""
    return [ends_right(text, comparison.reference or "") for text in comparison.responses]


def truths(comparisons: Sequence[Comparison]) -> list[Truth]:
    found = []
    for each in comparisons:
        assert each.label is not None
        assert each.label.steps is not None
        for text, is_right, labels in zip(each.responses, right(each), each.label.steps, strict=True):
            found.append(Truth(text, is_right, tuple(label == 1 for label in labels)))
    return found


def wrong_from_the_first(truth: Truth) -> Truth:
    """The paper's labels: all steps from the first wrong one on are wrong."""
    return truth._replace(steps=tuple(accumulate(truth.steps, lambda before, step: before and step)))


# Verifiers ------------------------------------------------------------------------------------------------------------


def verifiers(engine: PlantedEngine, comparisons: Sequence[Comparison], settings: Settings) -> dict[str, RewardModel]:
    single = [each.subset((place,)) for each in comparisons for place in range(len(each.responses))]

    def voting(judge: Judge) -> RewardModel:
        engine.knows(judge, single)
        return Repeated(judge, settings.votes)

    return {
        "scalar": ScalarRewardModel(engine=engine),
        "process": ProcessRewardModel(family="token_classes", engine=engine),
        "yes_no": voting(YesNoJudge(engine=engine)),
        "processbench": voting(ProcessBenchJudge(engine=engine)),
    }


def accuracy(comparisons: Sequence[Comparison], scores: Sequence[Sequence[float]]) -> float:
    """The chance that a candidate with the highest score is right, of those that tie, a random one."""
    shares = []
    for each, of in zip(comparisons, scores, strict=True):
        best = [is_right for score, is_right in zip(of, right(each), strict=True) if score == max(of)]
        shares.append(sum(best) / len(best))
    return sum(shares) / len(shares)


def judged(model: RewardModel, comparisons: Sequence[Comparison]) -> list[Verdict]:
    return [verdict for _, verdict in model.run(comparisons)]


def scores_of(verdicts: Sequence[Verdict]) -> list[Sequence[float]]:
    found: list[Sequence[float]] = []
    for verdict in verdicts:
        assert verdict.scores is not None, verdict.votes[0].error
        found.append(verdict.scores)
    return found


def reduced(verdicts: Sequence[Verdict], reduction: StepReduction) -> list[Sequence[float]]:
    """The scores of candidates from the same step scores, by another reduction."""
    found: list[Sequence[float]] = []
    for verdict in verdicts:
        [vote] = verdict.votes
        assert vote.step_scores is not None
        scores = reduce_steps(vote.step_scores, reduction)
        assert scores is not None
        found.append(scores)
    return found


def length(steps: int, settings: Settings, seed: int, folder: Path) -> dict[str, Any]:
    """All verifiers on the candidates of one length, which they read from one file."""
    path = folder / f"candidates-{steps}.jsonl"
    write_jsonl(path, (each.model_dump(mode="json", exclude_none=True) for each in candidates(steps, settings, seed)))
    comparisons = list(read(path))
    known = truths(comparisons)
    engine = PlantedEngine(known, noise=settings.noise, seed=seed, shared=settings.shared)
    verdicts = {name: judged(model, comparisons) for name, model in verifiers(engine, comparisons, settings).items()}
    later_wrong = PlantedEngine(
        map(wrong_from_the_first, known), noise=settings.noise, seed=seed, shared=settings.shared
    )
    models = verifiers(later_wrong, comparisons, settings)
    by_label = {name: accuracy(comparisons, scores_of(judged(models[name], comparisons))) for name in PROCESS}

    def quieter(ratio: float) -> float:
        planted = PlantedEngine(known, noise=settings.noise, step_noise=ratio * settings.noise, seed=seed)
        model = ProcessRewardModel(family="token_classes", engine=planted)
        return accuracy(comparisons, scores_of(judged(model, comparisons)))

    by_kind = {name: accuracy(comparisons, scores_of(each)) for name, each in verdicts.items()}
    by_ratio = {str(ratio): quieter(ratio) for ratio in RATIOS}
    return {
        "kinds": by_kind,
        "later wrong": by_label,
        "reductions": {name: accuracy(comparisons, reduced(verdicts["process"], name)) for name in REDUCTIONS},
        "ratios": by_ratio,
        "right": sum(truth.right for truth in known) / len(known),
    }


# The experiment -------------------------------------------------------------------------------------------------------


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    path = folder / f"{part}.json"
    if not path.exists():
        write_json(path, {str(steps): length(steps, settings, seed, folder) for steps in settings.lengths})


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured(json.loads((folder / "all.json").read_text("utf-8")))


def measured(found: Mapping[str, Any]) -> Measurement:
    """A pure function of what all verifiers reached at each length."""
    short, long = str(min(map(int, found))), str(max(map(int, found)))

    def at(steps: str, kind: str, labels: str = "kinds") -> float:
        return float(found[steps][labels][kind])

    return Measurement(
        contrasts={
            "process, shortest - longest": at(short, "process") - at(long, "process"),
            "process, later steps wrong, shortest - longest": (
                at(short, "process", "later wrong") - at(long, "process", "later wrong")
            ),
            "process, later steps wrong - each step, longest": (
                at(long, "process", "later wrong") - at(long, "process")
            ),
            "outcome, longest - shortest": at(long, "scalar") - at(short, "scalar"),
            "outcome - process, longest": at(long, "scalar") - at(long, "process"),
            "generative outcome - process, longest": at(long, "yes_no") - at(long, "processbench"),
            "generative - discriminative outcome, longest": at(long, "yes_no") - at(long, "scalar"),
            "process with half the noise - outcome, longest": found[long]["ratios"]["0.5"] - at(long, "scalar"),
            "outcome - process with equal noise, longest": at(long, "scalar") - found[long]["ratios"]["1.0"],
            "product - lowest, longest": found[long]["reductions"]["prod"] - found[long]["reductions"]["min"],
        },
        figures={"lengths": found},
    )


def break_even(of_length: Mapping[str, Any]) -> float | None:
    """The ratio of noises at which the process verifier is as accurate as the outcome verifier, by means over seeds.

    Linear between the measured ratios; None if the accuracies do not cross there.
    """
    outcome = of_length["kinds"]["scalar"].mean
    points = [(float(ratio), found.mean) for ratio, found in of_length["ratios"].items()]
    for (low, above), (high, below) in pairwise(points):
        if above >= outcome > below:
            return float(low + (high - low) * (above - outcome) / (above - below))
    return None


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "kinds": KINDS,
        "process": PROCESS,
        "reductions": REDUCTIONS,
        "ratios": [str(ratio) for ratio in RATIOS],
        "even": {steps: break_even(each) for steps, each in found["lengths"].items()},
    }


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy by length, for each kind of verifier, and for each ratio of noises."""
    by_length = found["lengths"]
    kinds = {name: [(float(steps), each["kinds"][name].bar) for steps, each in by_length.items()] for name in KINDS}
    lines({"equal noise": kinds}, folder / "multi-rm", across="steps", up="right solution chosen")
    quieter = {
        f"{steps} steps": [(float(ratio), value.bar) for ratio, value in each["ratios"].items()]
        for steps, each in by_length.items()
    }
    across = "noise of a decision about a step / noise of one about a solution"
    lines(
        {"discriminative process verifier": quieter},
        folder / "multi-rm-noise",
        across=across,
        up="right solution chosen",
    )


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=("all",),
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
)
