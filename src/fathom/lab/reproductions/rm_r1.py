"""RM-R1 in the small world: does typing the task beat either template alone, and reasoning beat answering?

The claims are those of "RM-R1: Reward Modeling as Reasoning" (arXiv 2505.02387), as directions. Four arms of the small
base model learn chains and then, with labels alone, by RLVR: the answer alone, the chat template for every task, the
reasoning template for every task, and the template that the task's type asks for.

- `routing_beats_chat`, `routing_beats_reasoning`: typed chains judge better than either template alone, over all;
- `routing_keeps_both`: and on the ground of each template no worse than it;
- `reasoning_beats_answering`: typed chains judge better than answers learnt from the same comparisons;
- `rlvr_adds`: RLVR raises the accuracy of typed chains.

Everything below `results` is a pure function of what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fathom.data.records import Domain
from fathom.lab import arms, base, rm_r1, world
from fathom.lab.arms import DOMAINS, Measured, Settings, Stage, select
from fathom.lab.reproductions._claims import claim, claim_folder, named, side_by_side
from fathom.lab.rm_r1 import ARMS, STAGES, Arm
from fathom.metrics.intervals import Interval, bootstrap
from fathom.report.figures import grouped_bars
from fathom.report.page import markdown
from fathom.results.provenance import provenance, write_json

MARGIN = 0.03
"""The typed arm counts as not worse than a template on its own ground when it is at most this far below it."""
SETTINGS = Settings(held_out=600)
OVERRIDES = ("trainer.max_steps=70",)
"""Of the recipe `mini_rlvr`: a hundred steps of every arm would take more than a quarter of an hour on two cores."""

Cell = tuple[Arm, Stage]
Runs = Mapping[Cell, Sequence[Sequence[Measured]]]
"""For each arm and stage, one run per seed; all arms of a seed were measured on the same items in the same order."""


def reproduce(out: Path, seeds: Sequence[int], settings: Settings = SETTINGS) -> Iterator[str]:
    """Run the experiment in `out`, then write results.json, rm-r1.md and its figure; yield progress as lines.

    To resume is to run again: what an interrupted run finished is kept.
    """
    origin = provenance({"seeds": list(seeds), **asdict(settings)}, [base.PATH])
    experiment = {"settings": asdict(settings), "recipes": arms.recipes_used(), "overrides": OVERRIDES}
    for seed in seeds:
        claim_folder(out / f"seed-{seed}", {**experiment, "base": sorted(origin["inputs"].values())})
    todo = [(arm, seed, settings, OVERRIDES, out / f"seed-{seed}") for seed in seeds for arm in ARMS]
    for arm, seed, *_ in side_by_side(rm_r1.run, todo):
        yield f"seed {seed}: {arm} trained and measured"
    found = {**results(collect(out, seeds)), "seeds": list(seeds), "versions": origin["versions"], "origin": origin}
    write_json(out / "results.json", found)
    figure(found, out)
    (out / "rm-r1.md").write_text(page(found, settings), encoding="utf-8")
    yield f"wrote {out / 'results.json'}, {out / 'rm-r1.md'} and its figure"


def collect(out: Path, seeds: Sequence[int]) -> Runs:
    return {
        (arm, stage): [rm_r1.read(out / f"seed-{seed}", arm, stage) for seed in seeds]
        for arm in ARMS
        for stage in STAGES
    }


def results(runs: Runs) -> dict[str, Any]:
    """The contents of `results.json`: arms, claims and ceilings."""
    return {
        "arms": {arm: {stage: _summary(runs[arm, stage]) for stage in STAGES} for arm in ARMS},
        "claims": claims(runs),
        "ceiling": {arm: {domain: ceiling(arm, domain) for domain in DOMAINS} for arm in ARMS},
    }


def ceiling(arm: Arm, domain: Domain) -> float:
    """The best accuracy of a reader who sees what the arm's chain shows and no more, from the world's definition.

    An answer alone shows nothing, but its writer has the whole page before it: 1.0, as for anyone who could solve
    without writing.
    """
    if arm == "answer":
        return 1.0
    shown: dict[Arm, tuple[world.Style, ...]] = {"chat": ("breadth",), "reasoning": ("depth",)}
    return float(max(world.ceiling(style, domain) for style in shown.get(arm, ("breadth", "depth"))))


def accurate(item: Measured) -> float:
    return float(item.accurate)


def _summary(runs: Sequence[Sequence[Measured]]) -> dict[str, Any]:
    def of(value: Callable[[Measured], float], domain: Domain | None = None) -> Interval:
        return bootstrap([[value(item) for item in select(run, domain)] for run in runs])

    return {
        "all": named("accuracy", of(accurate)),
        **{domain: named("accuracy", of(accurate, domain)) for domain in DOMAINS},
        "typed_right": named("share", of(lambda item: float(item.matches))),
        "readable": named("share", of(lambda item: float(item.readable))),
        "tokens": named("mean", of(lambda item: float(item.tokens))),
    }


def claims(runs: Runs) -> dict[str, dict[str, Any]]:
    """All claims with their contrasts. A claim holds if the interval of every contrast lies above its threshold."""

    def after_rlvr(other: Arm, domain: Domain | None = None) -> Interval:
        return _contrast(runs, ("typed", "rlvr"), (other, "rlvr"), domain)

    own_ground = {
        "typed - chat on preference": after_rlvr("chat", "preference"),
        "typed - reasoning on correctness": after_rlvr("reasoning", "correctness"),
    }
    return {
        "routing_beats_chat": claim({"typed - chat, over all": after_rlvr("chat")}),
        "routing_beats_reasoning": claim({"typed - reasoning, over all": after_rlvr("reasoning")}),
        "routing_keeps_both": claim(own_ground, bars=dict.fromkeys(own_ground, -MARGIN)),
        "reasoning_beats_answering": claim({"typed - answer, over all": after_rlvr("answer")}),
        "rlvr_adds": claim({"typed, RLVR - SFT": _contrast(runs, ("typed", "rlvr"), ("typed", "sft"))}),
    }


def _contrast(runs: Runs, plus: Cell, minus: Cell, domain: Domain | None = None) -> Interval:
    """The mean difference of accuracy, item by item on the items that both share."""
    pairs = zip(runs[plus], runs[minus], strict=True)
    return bootstrap(
        [
            [accurate(a) - accurate(b) for a, b in zip(select(one, domain), select(other, domain), strict=True)]
            for one, other in pairs
        ]
    )


def figure(found: Mapping[str, Any], out: Path) -> None:
    """Accuracy by domain and arm, as PNG and SVG."""

    def bars(domain: str) -> dict[str, list[Interval]]:
        cells = {arm: [found["arms"][arm][stage][domain] for stage in STAGES] for arm in ARMS}
        return {
            arm: [Interval(cell["accuracy"], cell["low"], cell["high"]) for cell in row] for arm, row in cells.items()
        }

    grouped_bars(
        {domain: bars(domain) for domain in DOMAINS},
        ("after SFT", "after RLVR"),
        out / "rm-r1",
        marks={domain: {arm: found["ceiling"][arm][domain] for arm in ARMS} for domain in DOMAINS},
        legend="best possible of such a chain",
    )


def page(found: Mapping[str, Any], settings: Settings) -> str:
    """The page in Markdown, with every number from `found`."""
    told = {"arm_names": ARMS, "stages": STAGES, "domains": DOMAINS, "settings": settings}
    return markdown("fathom.lab.reproductions", "rm_r1.md.jinja", **found, **told, margin=MARGIN, overrides=OVERRIDES)
