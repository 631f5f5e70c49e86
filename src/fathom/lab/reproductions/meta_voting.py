"""Votes selected by a meta reward model, in two small worlds: where votes share a visible flaw, and where they do not.

The claims are those of "Inference-Time Scaling for Generalist Reward Modeling" (arXiv 2504.02495) about its meta reward
model, and what they rest on; meta_voting.yaml states them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from fathom.data.reading import write_jsonl
from fathom.lab import arms, criteria, spct
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.pages import beside
from fathom.lab.experiments.results import Measurement
from fathom.lab.reproductions import _voting
from fathom.lab.reproductions._voting import COUNTS, MOST, SUM, Run, Value, difference, guided, summed
from fathom.lab.spct import Measured, Settings, greedy, one
from fathom.report.figures import lines

WORLDS = ("flawed", "ambiguous")
"""In the first, errors are lazy judgments; in the second, draws of the wrong principle."""
JUDGES: Mapping[str, str] = {
    "flawed": "flawed",
    "flawed-rlvr": "flawed, after RLVR",
    "ambiguous": "ambiguous",
}
KEPT = (1, 8, 16, 32)
"""Of 32 votes; the paper's k_meta."""


def worlds() -> Mapping[str, Mapping[str, Any]]:
    """`clear` and `lazy` of each world, from the register."""
    return dict(EXPERIMENT.register.settings["worlds"])


def make_settings(worlds: Mapping[str, Any], **shared: Any) -> Settings:
    """The settings that both worlds share; `run` adds those of its world."""
    return Settings(clear=1.0, **shared)


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    """Train the judges of a world and measure them; results of an earlier run are kept."""
    arms.use_one_thread()
    settings = replace(settings, **worlds()[part])
    if not (folder / f"{part}.jsonl").exists():
        judge = spct.pretrain(settings, seed, folder / part)
        meta = spct.train_meta(settings, seed, judge, folder / part / "meta")
        write_jsonl(folder / f"{part}.jsonl", map(asdict, spct.measure(settings, seed, judge, meta)))
    if part == "flawed" and not (folder / "flawed-rlvr.jsonl").exists():
        reinforced = spct.reinforce(settings, seed, folder / part / "judge", folder / part / "rlvr")
        write_jsonl(folder / "flawed-rlvr.jsonl", map(asdict, spct.measure(settings, seed, reinforced)))


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured({judge: spct.read_measured(folder / f"{judge}.jsonl") for judge in JUDGES})


def measured(runs: Mapping[str, Run]) -> Measurement:
    """A pure function of one seed's votes."""
    return Measurement(
        contrasts=contrasts(runs),
        figures={
            "judges": {judge: _voting.summary(runs[judge]) for judge in JUDGES},
            "ceilings": {judge: _voting.ceilings(runs[judge]) for judge in JUDGES},
            "kept": {world: {str(kept): _kept(runs[world], kept) for kept in KEPT} for world in WORLDS},
            "paper": {name: difference(*_cells(runs["flawed"], *cells)) for name, (_, *cells) in PAPER.items()},
        },
    )


def _cells(run: Run, plus: Value, minus: Value) -> tuple[tuple[Run, Value], tuple[Run, Value]]:
    return (run, plus), (run, minus)


def _kept(run: Run, kept: int) -> dict[str, float]:
    """The accuracy of the best `kept` of all votes, and the share of lazy ones among them."""
    accuracy = _voting.mean(run, partial(spct.voted, count=MOST, rule=SUM, keep=kept))
    return {"accuracy": accuracy, "lazy": fmean(lazy(item, kept) for item in run)}


def lazy(item: Measured, kept: int) -> float:
    votes = spct.outcome(item, MOST, SUM, keep=kept).votes
    return fmean(
        principle == criteria.POLISH for principle, vote in zip(item.principles, votes, strict=True) if vote.included
    )


def contrasts(runs: Mapping[str, Run]) -> dict[str, float]:
    """By the words of the register."""
    flawed, rlvr, ambiguous = (runs[judge] for judge in ("flawed", "flawed-rlvr", "ambiguous"))
    many, half = summed(MOST), guided(MOST)
    return {
        f"sum of 4 votes - sum of {MOST}": difference((flawed, summed(4)), (flawed, many)),
        f"16 of {MOST} votes - all {MOST}": difference((flawed, half), (flawed, many)),
        f"16 of {MOST} votes - greedy": difference((flawed, half), (flawed, greedy)),
        f"16 of {MOST} votes - 2 of 4": difference((flawed, half), (flawed, guided(4))),
        "one vote, RLVR - before": difference((rlvr, one), (flawed, one)),
        f"one vote after RLVR - 16 of {MOST} votes before": difference((rlvr, one), (flawed, half)),
        f"16 of {MOST} votes - all {MOST}, ambiguous world": difference((ambiguous, half), (ambiguous, many)),
    }


# The page -------------------------------------------------------------------------------------------------------------

PAPER: Mapping[str, tuple[float, Value, Value]] = {
    "32 votes - 8 votes": (71.0 - 70.6, summed(32), summed(8)),
    "4 of 8 votes - all 8": (72.0 - 70.6, guided(8), summed(8)),
    "16 of 32 votes - all 32": (72.8 - 71.0, guided(MOST), summed(32)),
    "16 of 32 votes - 4 of 8": (72.8 - 72.0, guided(MOST), guided(8)),
    "16 of 32 votes - greedy": (72.8 - 69.9, guided(MOST), greedy),
    "1 of 32 votes - 16 of 32": (71.5 - 72.8, guided(MOST, 1), guided(MOST)),
}
"""Differences of the paper's overall accuracy (27B), and the same ones here, in the flawed world."""


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "judge_names": JUDGES,
        "counts": [*map(str, COUNTS)],
        "beside_the_paper": beside((name, paper, found["paper"][name]) for name, (paper, *_) in PAPER.items()),
    }


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy of k votes, all, selected and adaptive, in both worlds, and the accuracy of the best possible reader."""
    titles = {"flawed": "votes share a visible flaw", "ambiguous": "errors of votes are independent"}
    names = {"sum": "sum of all", "majority": "majority of all", "guided": "sum of the selected half"}
    panels = {
        title: {
            **{name: _voting.line(found["judges"][world][rule]) for rule, name in names.items()},
            "sum, adaptive": _voting.adaptive_line(found["judges"][world]["adaptive"]),
        }
        for world, title in titles.items()
    }
    marks = {title: found["ceilings"][world]["best"].mean for world, title in titles.items()}
    lines(panels, folder / "meta-voting", across="votes drawn", up="accuracy", marks=marks, legend="best possible")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=make_settings,
    parts=WORLDS,
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
    recipes=lambda: {**spct.recipes_used(), "worlds": worlds()},
)
