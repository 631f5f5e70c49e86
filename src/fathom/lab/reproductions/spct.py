"""SPCT in the small world of criteria: principles, rejective fine-tuning, RLVR and votes.

The claims are those of "Inference-Time Scaling for Generalist Reward Modeling" (arXiv 2504.02495), as directions, and
one of ours; spct.yaml states them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fathom.data.reading import write_jsonl
from fathom.lab import arms, spct
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.pages import beside
from fathom.lab.experiments.results import Measurement
from fathom.lab.reproductions import _voting
from fathom.lab.reproductions._voting import COUNTS, MOST, Run, Value, difference, majority, summed
from fathom.lab.spct import Settings, greedy, one
from fathom.report.figures import lines

CHAINS: Mapping[str, tuple[str, ...]] = {"with": ("first", "rft", "rlvr"), "without": ("without",)}
"""The judges of each arm. Each is trained from the one before."""
JUDGES = {
    "without": "scores alone",
    "first": "principle and scores",
    "rft": "after rejective fine-tuning",
    "rlvr": "after RLVR",
}


def run(part: str, seed: int, settings: Settings, folder: Path) -> None:
    """Train the judges of an arm and measure each; results of an earlier run are kept."""
    arms.use_one_thread()
    for judge in CHAINS[part]:
        path = folder / f"{judge}.jsonl"
        if not path.exists():
            model = trained(judge, settings, seed, folder)
            write_jsonl(path, map(asdict, spct.measure(settings, seed, model)))


def trained(judge: str, settings: Settings, seed: int, out: Path) -> Path:
    if judge == "rft":
        spct.reject(settings, seed, out / "first" / "judge", out / "rejection")
        return spct.fine_tune(settings, seed, out / "first" / "judge", out / "rejection" / "rft.jsonl", out / "rft")
    if judge == "rlvr":
        return spct.reinforce(settings, seed, out / "rft", out / "rlvr")
    return spct.pretrain(settings, seed, out / judge, stated=judge == "first")


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    manifest = json.loads((folder / "rejection" / "manifest.json").read_text(encoding="utf-8"))
    return measured(
        {judge: spct.read_measured(folder / f"{judge}.jsonl") for judge in JUDGES}, manifest["trajectories"]
    )


def measured(runs: Mapping[str, Run], rejection: Mapping[str, Mapping[str, int]]) -> Measurement:
    """A pure function of one seed's votes, and of how many trajectories rejection kept, by source and reason."""
    return Measurement(
        contrasts=contrasts(runs),
        figures={
            "judges": {judge: _voting.summary(runs[judge]) for judge in JUDGES},
            "ceilings": _voting.ceilings(runs["first"]),
            "rejection": rejection,
            "paper": {name: value(runs) for name, (_, value) in PAPER.items()},
        },
    )


def contrasts(runs: Mapping[str, Run]) -> dict[str, float]:
    """By the words of the register."""
    first, without, rft, rlvr = (runs[judge] for judge in ("first", "without", "rft", "rlvr"))
    many, most = summed(MOST), majority(MOST)
    return {
        "greedy, with - without": difference((first, greedy), (without, greedy)),
        "one vote, with - without": difference((first, one), (without, one)),
        f"sum of {MOST} votes, with - without": difference((first, many), (without, many)),
        "greedy - one vote, before": difference((first, greedy), (first, one)),
        f"sum of {MOST} votes - greedy, before": difference((first, many), (first, greedy)),
        "greedy - one vote, after RLVR": difference((rlvr, greedy), (rlvr, one)),
        f"sum of {MOST} votes - greedy, after RLVR": difference((rlvr, many), (rlvr, greedy)),
        f"majority of {MOST} votes - greedy, before": difference((first, most), (first, greedy)),
        f"majority of {MOST} votes - greedy, after RLVR": difference((rlvr, most), (rlvr, greedy)),
        "one vote, RLVR - RFT": difference((rlvr, one), (rft, one)),
        f"gain of {MOST} votes, RLVR - RFT": _gain(rlvr, rft, MOST),
    }


def _gain(run: Run, before: Run, count: int) -> float:
    """By how much more the sum of `count` votes adds to one vote."""
    return difference((run, summed(count)), (run, one)) - difference((before, summed(count)), (before, one))


# The page -------------------------------------------------------------------------------------------------------------


def _of(plus: str, first: Value, minus: str, second: Value) -> Any:
    return lambda runs: difference((runs[plus], first), (runs[minus], second))


PAPER: Mapping[str, tuple[float, Any]] = {
    "greedy: with principles - without": (69.9 - 67.5, _of("first", greedy, "without", greedy)),
    "8 votes: with principles - without": (70.6 - 68.0, _of("first", summed(8), "without", summed(8))),
    "RLVR: greedy - one vote": (69.9 - 67.9, _of("rlvr", greedy, "rlvr", one)),
    "RLVR: 8 votes - greedy": (70.6 - 69.9, _of("rlvr", summed(8), "rlvr", greedy)),
    "RLVR: 32 votes - greedy": (71.0 - 69.9, _of("rlvr", summed(MOST), "rlvr", greedy)),
    "greedy: RFT - before": (68.8 - 66.1, _of("rft", greedy, "first", greedy)),
    "greedy: RLVR - RFT": (69.9 - 68.8, _of("rlvr", greedy, "rft", greedy)),
    "one vote: RLVR - RFT": (67.9 - 67.8, _of("rlvr", one, "rft", one)),
    "gain of 8 votes over one: RLVR - RFT": (1.2, lambda runs: _gain(runs["rlvr"], runs["rft"], 8)),
}
"""Differences of the paper's overall accuracy (tables 2, 3 and 5; 27B), and how they are measured here."""


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "judge_names": JUDGES,
        "counts": [*map(str, COUNTS)],
        "beside_the_paper": beside((name, paper, found["paper"][name]) for name, (paper, _) in PAPER.items()),
    }


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy of k votes, one line per judge, by either rule, and the accuracy of the best possible reader."""
    panels = {
        f"{rule} of votes": {name: _voting.line(found["judges"][judge][rule]) for judge, name in JUDGES.items()}
        for rule in ("sum", "majority")
    }
    marks = dict.fromkeys(panels, found["ceilings"]["best"].mean)
    lines(panels, folder / "spct-votes", across="votes", up="accuracy", marks=marks, legend="best possible")


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=tuple(CHAINS),
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
    recipes=spct.recipes_used,
)
