"""Mix-GRM in the small world: four arms, fine-tuned and then trained with verifiable rewards, several seeds.

The claims are those of "Beyond Length Scaling" (arXiv 2603.01571), as directions:

- `double_dissociation`: breadth helps preference and hurts correctness, depth the reverse;
- `mix_not_worse`: the mix is as good as either on its own ground, and better over all;
- `rlvr_gains_more_from_mix`: RLVR adds more to the mix than to the base arm;
- `polarisation`: RLVR raises the share of rationales whose structure fits the task, though it sees labels alone.

Everything below `results` is a pure function of what was measured, so the numbers on the page follow from the files
that `mini.arms` left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fathom.data.records import Domain
from fathom.lab import arms, base, world
from fathom.lab.arms import ARMS, DOMAINS, STAGES, Arm, Measured, Settings, Stage, select
from fathom.lab.reproductions._claims import claim, claim_folder, named, side_by_side
from fathom.metrics.intervals import Interval, bootstrap
from fathom.report.figures import grouped_bars
from fathom.report.page import markdown
from fathom.results.provenance import provenance, write_json

MARGIN = 0.02
"""The mix counts as not worse than another arm when it is at most this far below it."""

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

Runs = Mapping[tuple[Arm, Stage], Sequence[Sequence[Measured]]]
"""For each arm and stage, one run per seed; all arms of a seed were measured on the same items in the same order."""

Value = Callable[[Measured], float]


def reproduce(out: Path, seeds: Sequence[int], settings: Settings | None = None) -> Iterator[str]:
    """Run the experiment in `out`, then write results.json, mix-grm.md and its figures; yield progress as lines.

    To resume is to run again: what an interrupted run finished is kept.
    """
    settings = settings or Settings()
    origin = {**provenance({"seeds": list(seeds), **asdict(settings)}, [base.PATH]), "recipes": arms.recipes_used()}
    hashes = sorted(origin["inputs"].values())
    experiment = {"settings": asdict(settings), "recipes": origin["recipes"], "base": hashes}
    for seed in seeds:
        claim_folder(out / f"seed-{seed}", experiment)
    yield from run(out, seeds, settings)
    found = {**results(collect(out, seeds)), "seeds": list(seeds), "versions": origin["versions"], "origin": origin}
    write_json(out / "results.json", found)
    figures(found, out)
    (out / "mix-grm.md").write_text(page(found, settings), encoding="utf-8")
    yield f"wrote {out / 'results.json'}, {out / 'mix-grm.md'} and its figures"


def run(out: Path, seeds: Sequence[int], settings: Settings) -> Iterator[str]:
    """Trains and measures what is not yet there, arms side by side on all cores; yields a line as each part is done."""
    for seed in seeds:
        folder = out / f"seed-{seed}"
        if not (folder / "synthesised" / "manifest.json").exists():
            arms.synthesise(settings, seed, folder / "synthesised")
            yield f"seed {seed}: synthesised"
    todo = [(arm, seed, settings, out / f"seed-{seed}") for seed in seeds for arm in ARMS]
    for arm, seed, *_ in side_by_side(arms.run, todo):
        yield f"seed {seed}: {arm} trained and measured"


def collect(out: Path, seeds: Sequence[int]) -> Runs:
    return {
        (arm, stage): [arms.read_measured(out / f"seed-{seed}" / arm / f"{stage}.jsonl") for seed in seeds]
        for arm in ARMS
        for stage in STAGES
    }


def results(runs: Runs) -> dict[str, Any]:
    """The contents of `results.json`: arms, claims and ceilings."""
    return {
        "arms": {arm: {stage: _summary(runs[arm, stage]) for stage in STAGES} for arm in ARMS},
        "indicators": {arm: {stage: _indicators(runs[arm, stage]) for stage in STAGES} for arm in ARMS},
        "claims": claims(runs),
        "beside_the_paper": beside_the_paper(runs),
        "ceiling": {arm: {domain: ceiling(arm, domain) for domain in DOMAINS} for arm in ARMS},
    }


def ceiling(arm: Arm, domain: Domain) -> float:
    """The best accuracy that the arm's rationales allow, from the world's definition; the mix may choose its style."""
    styles: dict[Arm, tuple[world.Style, ...]] = {
        "base": ("vanilla",),
        "breadth": ("breadth",),
        "depth": ("depth",),
        "mix": ("breadth", "depth"),
    }
    return float(max(world.ceiling(style, domain) for style in styles[arm]))


def accurate(item: Measured) -> float:
    return float(item.accurate)


def matches(item: Measured) -> float:
    return float(item.matches)


def _summary(runs: Sequence[Sequence[Measured]]) -> dict[str, Any]:
    def of(value: Value, *, domain: Domain | None = None, seen: bool | None = None) -> Interval:
        return bootstrap([[value(item) for item in select(run, domain, seen)] for run in runs])

    summary: dict[str, Any] = {
        domain: {
            **named("accuracy", of(accurate, domain=domain)),
            "seen": named("accuracy", of(accurate, domain=domain, seen=True)),
            "unseen": named("accuracy", of(accurate, domain=domain, seen=False)),
        }
        for domain in DOMAINS
    }
    summary["structural_match"] = {
        **named("share", of(matches)),
        "seen": named("share", of(matches, seen=True)),
        "unseen": named("share", of(matches, seen=False)),
    }
    summary["tokens"] = named("mean", of(lambda item: item.tokens))
    summary["readable"] = named("share", of(lambda item: float(item.readable)))
    return summary


def _indicators(runs: Sequence[Sequence[Measured]]) -> dict[str, Any]:
    """The paper's four indicators of structure."""

    def of(domain: Domain, value: Value) -> dict[str, float]:
        return named("mean", bootstrap([[value(item) for item in select(run, domain)] for run in runs]))

    return {
        "principles_on_preference": of("preference", lambda item: item.principles),
        "tokens_per_judgment_on_correctness": of("correctness", lambda item: item.tokens_per_judgment),
        "breadth_on_preference": of("preference", lambda item: float(item.structure == "breadth")),
        "depth_on_correctness": of("correctness", lambda item: float(item.structure == "depth")),
    }


# Claims ---------------------------------------------------------------------------------------------------------------

Cell = tuple[Arm, Stage]


def claims(runs: Runs) -> dict[str, dict[str, Any]]:
    """All claims with their contrasts. A claim holds if the interval of every contrast lies above its threshold."""

    def contrast(plus: Sequence[Cell], minus: Sequence[Cell], domain: Domain | None = None) -> Interval:
        return _contrast(runs, plus, minus, accurate, domain)

    def after(arm: Arm, other: Arm, stage: Stage, domain: Domain | None = None) -> Interval:
        return contrast([(arm, stage)], [(other, stage)], domain)

    return {
        "double_dissociation": claim(
            {
                "breadth - base on preference after SFT": after("breadth", "base", "sft", "preference"),
                "base - depth on preference after SFT": after("base", "depth", "sft", "preference"),
                "depth - base on correctness after SFT": after("depth", "base", "sft", "correctness"),
                "base - breadth on correctness after SFT": after("base", "breadth", "sft", "correctness"),
            }
        ),
        "mix_not_worse": claim(
            {
                "mix - breadth on preference after RLVR": after("mix", "breadth", "rlvr", "preference"),
                "mix - depth on correctness after RLVR": after("mix", "depth", "rlvr", "correctness"),
                "mix - breadth over all after RLVR": after("mix", "breadth", "rlvr"),
                "mix - depth over all after RLVR": after("mix", "depth", "rlvr"),
            },
            bars={
                "mix - breadth on preference after RLVR": -MARGIN,
                "mix - depth on correctness after RLVR": -MARGIN,
            },
        ),
        "rlvr_gains_more_from_mix": claim(
            {
                "gain of mix - gain of base, over all": contrast(
                    [("mix", "rlvr"), ("base", "sft")], [("mix", "sft"), ("base", "rlvr")]
                )
            }
        ),
        "polarisation": claim(
            {"match of mix, RLVR - SFT": _contrast(runs, [("mix", "rlvr")], [("mix", "sft")], matches)}
        ),
    }


def _contrast(
    runs: Runs, plus: Sequence[Cell], minus: Sequence[Cell], value: Value, domain: Domain | None = None
) -> Interval:
    """The mean of the sum over `plus` less the sum over `minus`, item by item on the items that all of them share."""

    def column(cell: Cell, seed: int) -> list[float]:
        return [value(item) for item in select(runs[cell][seed], domain)]

    def differences(seed: int) -> list[float]:
        signed = [column(cell, seed) for cell in plus] + [[-v for v in column(cell, seed)] for cell in minus]
        return [sum(row) for row in zip(*signed, strict=True)]

    return bootstrap([differences(seed) for seed in range(len(runs[plus[0]]))])


# Beside the paper -----------------------------------------------------------------------------------------------------


def beside_the_paper(runs: Runs) -> list[dict[str, Any]]:
    """Every difference of the paper's table of domains (arm against base, RLVR against SFT) and the same one here.

    `agrees` is True when ours has the paper's sign and an interval that excludes zero, False when it has the other
    sign and excludes zero, None when our interval includes zero.
    """
    pairs: list[tuple[Cell, Cell]] = [
        ((arm, stage), ("base", stage)) for stage in STAGES for arm in ARMS if arm != "base"
    ]
    pairs += [((arm, "rlvr"), (arm, "sft")) for arm in ARMS]
    return [_beside(runs, cell, other, domain) for cell, other in pairs for domain in DOMAINS]


def _beside(runs: Runs, cell: Cell, other: Cell, domain: Domain) -> dict[str, Any]:
    paper = PAPER[cell][domain] - PAPER[other][domain]
    here = _contrast(runs, [cell], [other], accurate, domain)
    resolved = here.low > 0 or here.high < 0
    return {
        "difference": f"{' '.join(cell)} - {' '.join(other)}",
        "domain": domain,
        "paper": round(paper, 1),
        "here": 100 * here.mean,
        "low": 100 * here.low,
        "high": 100 * here.high,
        "agrees": (here.mean > 0) == (paper > 0) if resolved else None,
    }


# The page -------------------------------------------------------------------------------------------------------------


def figures(found: Mapping[str, Any], out: Path) -> None:
    """Accuracy by domain and arm, and the four indicators of structure, each as PNG and SVG."""

    def bars(room: str, key: str, name: str) -> dict[str, list[Interval]]:
        cells = {arm: [found[room][arm][stage][key] for stage in STAGES] for arm in ARMS}
        return {arm: [Interval(cell[name], cell["low"], cell["high"]) for cell in row] for arm, row in cells.items()}

    stages = ("after SFT", "after RLVR")
    grouped_bars(
        {domain: bars("arms", domain, "accuracy") for domain in DOMAINS},
        stages,
        out / "mix-grm-accuracy",
        marks={domain: {arm: found["ceiling"][arm][domain] for arm in ARMS} for domain in DOMAINS},
        legend="best possible",
    )
    titles = {
        "principles_on_preference": "principles, preference",
        "tokens_per_judgment_on_correctness": "tokens a judgment, correctness",
        "breadth_on_preference": "share of breadth, preference",
        "depth_on_correctness": "share of depth, correctness",
    }
    panels = {title: bars("indicators", key, "mean") for key, title in titles.items()}
    grouped_bars(panels, stages, out / "mix-grm-structure", share=False)


def page(found: Mapping[str, Any], settings: Settings) -> str:
    """The page in Markdown, with every number from `found`."""
    return markdown(
        "fathom.lab.reproductions",
        "mix_grm.md.jinja",
        **found,
        arm_names=ARMS,
        stages=STAGES,
        domains=DOMAINS,
        settings=settings,
        margin=MARGIN,
    )
