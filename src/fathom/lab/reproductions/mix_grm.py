"""Mix-GRM in the small world: four arms, fine-tuned and then trained with verifiable rewards.

The claims are those of "Beyond Length Scaling" (arXiv 2603.01571), as directions; mix_grm.yaml states them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.data.records import Domain
from fathom.lab import arms, base, world
from fathom.lab.arms import (
    ARMS,
    DOMAINS,
    MANY,
    RANDOM,
    RATIONALES,
    STAGES,
    Arm,
    Measured,
    Settings,
    Stage,
    select,
    stages,
)
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.pages import beside
from fathom.lab.experiments.results import Figure, Measurement
from fathom.report.figures import grouped_bars
from fathom.synth import pipeline as synth
from fathom.synth.planning import steps

PAPER: Mapping[tuple[Arm, Stage], Mapping[Domain, float]] = {
    ("base", "sft"): {"preference": 68.2, "correctness": 72.2},
    ("base", "rlvr"): {"preference": 68.9, "correctness": 76.4},
    ("breadth", "sft"): {"preference": 69.3, "correctness": 70.2},
    ("breadth", "rlvr"): {"preference": 71.0, "correctness": 71.5},
    ("depth", "sft"): {"preference": 65.9, "correctness": 72.8},
    ("depth", "rlvr"): {"preference": 71.0, "correctness": 77.7},
    ("mix", "sft"): {"preference": 70.0, "correctness": 73.5},
    ("mix", "rlvr"): {"preference": 72.6, "correctness": 78.7},
}
"""The paper's accuracy by domain in percent, averaged over benchmarks, with models of 8 billion parameters."""

Cell = tuple[Arm, Stage]
Runs = Mapping[Cell, Sequence[Measured]]
"""One seed: for each arm and stage, the same held-out items in the same order."""
Value = Callable[[Measured], float]


REINFORCED = tuple(arm for arm in ARMS if arm not in MANY and arm != RANDOM)
"""The paper's arms."""
CELLS: Sequence[Cell] = [(arm, stage) for arm in ARMS for stage in stages(arm)]


def prepare(part: str, seed: int, settings: Settings, folder: Path) -> None:
    for arm, samples in (("mix", settings.samples), ("mix_16", settings.many_samples)):
        data = arms.synthesised(arm, folder)  # type: ignore[arg-type]
        if not (data / "manifest.json").exists():
            arms.synthesise(replace(settings, samples=samples), seed, data)


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    [arm] = (arm for arm in ARMS if arm == part)
    arms.run(arm, seed, settings, folder)


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    runs = {(arm, stage): arms.read_measured(folder / arm / f"{stage}.jsonl") for arm, stage in CELLS}
    return measured(runs)


def measured(runs: Runs) -> Measurement:
    """A pure function of one seed's judgments."""
    return Measurement(
        contrasts=contrasts(runs),
        figures={
            "arms": {arm: {stage: _summary(runs[arm, stage]) for stage in stages(arm)} for arm in ARMS},
            "paper": {
                _named(plus, minus): {domain: _contrast(runs, [plus], [minus], accurate, domain) for domain in DOMAINS}
                for plus, minus in PAIRS
            },
            "further": further(runs),
        },
    )


GAINS: tuple[Sequence[Cell], Sequence[Cell]] = ([("mix", "rlvr"), ("base", "sft")], [("mix", "sft"), ("base", "rlvr")])
"""The cells that are added and subtracted for the gain of the mix less that of the base arm."""


def accurate(item: Measured) -> float:
    return float(item.accurate)


def matches(item: Measured) -> float:
    return float(item.matches)


def expected(item: Measured) -> float:
    """The accuracy of a faithful rationale with this structure, from the world's definition; 0 without a rationale."""
    return float(world.expected(item.structure, item.domain, item.principles)) if item.principles else 0.0


def _summary(run: Sequence[Measured]) -> dict[str, Any]:
    mean = partial(_mean, run)
    return {
        **{domain: mean(accurate, domain) for domain in DOMAINS},
        "expected": {domain: mean(expected, domain) for domain in DOMAINS},
        "match": {"all": mean(matches), **_by_verbs(run, matches)},
        "accuracy": _by_verbs(run, accurate),
        "tokens": mean(lambda item: item.tokens),
        "readable": mean(lambda item: float(item.readable)),
        # The paper's four indicators of structure.
        "principles_on_preference": mean(lambda item: item.principles, "preference"),
        "tokens_per_judgment_on_correctness": mean(lambda item: item.tokens_per_judgment, "correctness"),
        "breadth_on_preference": mean(lambda item: float(item.structure == "breadth"), "preference"),
        "depth_on_correctness": mean(lambda item: float(item.structure == "depth"), "correctness"),
    }


def _by_verbs(run: Sequence[Measured], value: Value) -> dict[str, float]:
    """The mean for each set of verbs; `never` also apart by whether SFT showed kin of the verb."""
    never = select(run, verbs="never")
    return {
        **{part: fmean(map(value, select(run, verbs=part))) for part in world.PARTS},
        "never, kin in SFT": fmean(value(item) for item in never if item.kin),
        "never, no kin in SFT": fmean(value(item) for item in never if not item.kin),
    }


def contrasts(runs: Runs) -> dict[str, float]:
    """By the words of the register."""

    def after(arm: Arm, other: Arm, stage: Stage, domain: Domain | None = None) -> float:
        return _contrast(runs, [(arm, stage)], [(other, stage)], accurate, domain)

    return {
        "breadth - base on preference after SFT": after("breadth", "base", "sft", "preference"),
        "base - depth on preference after SFT": after("base", "depth", "sft", "preference"),
        "depth - base on correctness after SFT": after("depth", "base", "sft", "correctness"),
        "base - breadth on correctness after SFT": after("base", "breadth", "sft", "correctness"),
        "mix - breadth on preference after RLVR": after("mix", "breadth", "rlvr", "preference"),
        "mix - depth on correctness after RLVR": after("mix", "depth", "rlvr", "correctness"),
        "mix - breadth over all after RLVR": after("mix", "breadth", "rlvr"),
        "mix - depth over all after RLVR": after("mix", "depth", "rlvr"),
        "gain of mix - gain of base, over all": _contrast(runs, *GAINS, accurate),
        "match of mix on verbs never shown, RLVR - SFT": _match(runs["mix", "rlvr"]) - _match(runs["mix", "sft"]),
        "match of mix on verbs never shown, after RLVR": _match(runs["mix", "rlvr"]),
    }


def further(runs: Runs) -> dict[str, float]:
    """Differences that no claim names, by their words on the page."""
    return {
        "accuracy on correctness, mix after RLVR - depth after SFT": _contrast(
            runs, [("mix", "rlvr")], [("depth", "sft")], accurate, "correctness"
        ),
        "gain of mix - gain of base, over all, if faithful": _contrast(runs, *GAINS, expected),
        "match on verbs never shown, RLVR - SFT, random rewards": _match(runs[RANDOM, "rlvr"])
        - _match(runs[RANDOM, "sft"]),
    }


def _mean(run: Sequence[Measured], value: Value, domain: Domain | None = None) -> float:
    return fmean(value(item) for item in select(run, domain))


def _match(run: Sequence[Measured]) -> float:
    return fmean(map(matches, select(run, verbs="never")))


def _contrast(
    runs: Runs, plus: Sequence[Cell], minus: Sequence[Cell], value: Value, domain: Domain | None = None
) -> float:
    """The sum of the means over `plus` less that over `minus`; all cells hold the same items."""

    def total(cells: Sequence[Cell]) -> float:
        return sum(_mean(runs[cell], value, domain) for cell in cells)

    return total(plus) - total(minus)


# The page -------------------------------------------------------------------------------------------------------------

PAIRS: Sequence[tuple[Cell, Cell]] = [
    *(((arm, stage), ("base", stage)) for stage in STAGES for arm in REINFORCED if arm != "base"),
    *(((arm, "rlvr"), (arm, "sft")) for arm in REINFORCED),
]
"""Every difference of the paper's table of domains: arm against base, RLVR against SFT."""


def _named(plus: Cell, minus: Cell) -> str:
    return f"{' '.join(plus)} - {' '.join(minus)}"


def teacher_calls(arm: Arm, settings: Settings) -> float:
    """The teacher's calls per comparison for the arm's rationales, as `fathom synth --dry-run` counts them.

    Without `standardise`, which is needed only for texts without units; the small world's teacher writes none.
    """
    samples = settings.many_samples if arm in MANY else settings.samples
    made = synth.Settings(arms=(RATIONALES[arm],), samples=samples)
    of_each_domain = (item.comparison for item in world.items(len(DOMAINS), seed=0))
    return fmean(sum(step.stage != "standardise" for step in steps(each, made)) for each in of_each_domain)


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "names": NAMES,
        "control": RANDOM,
        "sets": ROWS,
        "calls": {arm: teacher_calls(arm, EXPERIMENT.settings) for arm in ARMS},
        "beside_the_paper": beside(
            (f"{_named(plus, minus)}, {domain}", PAPER[plus][domain] - PAPER[minus][domain], here)
            for plus, minus in PAIRS
            for domain, here in found["paper"][_named(plus, minus)].items()
        ),
    }


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy by domain and arm, and the share of the mix's rationales with the fitting structure by set of verbs."""

    def bars(key: str) -> dict[str, list[Any]]:
        cells: dict[Arm, list[Figure]] = {
            arm: [found["arms"][arm][stage][key] for stage in STAGES] for arm in REINFORCED
        }
        return {arm: [cell.bar for cell in row] for arm, row in cells.items()}

    names = ("after SFT", "after RLVR")
    grouped_bars({domain: bars(domain) for domain in DOMAINS}, names, folder / "mix-grm-accuracy")
    mix = found["arms"]["mix"]
    panel = {words: [mix[stage]["match"][key].bar for stage in STAGES] for key, words in SETS.items()}
    grouped_bars({"structure fits the task": panel}, names, folder / "mix-grm-routing")


NAMES: Mapping[Arm, str] = {
    **{arm: arm for arm in REINFORCED},
    "breadth_16": "breadth, N = 16",
    "mix_16": "mix, N = 16",
    RANDOM: "mix, random rewards",
}
SETS = {"sft": "verbs of SFT", "rlvr": "verbs of RLVR", "never": "verbs of neither stage"}
ROWS = {
    **SETS,
    "never, kin in SFT": "of neither stage, topic has verbs in SFT",
    "never, no kin in SFT": "of neither stage, topic has no verbs in SFT",
}
"""The rows of the table of structures, by their keys in the results."""


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=ARMS,
    prepare=prepare,
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
    recipes=arms.recipes_used,
    inputs=[base.PATH],
)
