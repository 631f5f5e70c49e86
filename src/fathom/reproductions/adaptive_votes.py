"""Adaptive votes: the accuracy of 32 votes at a fraction of their tokens.

A claim of this library, put to the test where it can fail: in the small world, with one judge whom votes help (it
thinks of three principles at random) and one whom they do not (fine-tuned on the mix of breadth and depth, it errs
alike in every vote); and on simulated judges, of which accuracy and the correlation of votes are known.

- `vanilla rationales`, `breadth and depth`: within half a point of 32 votes, at two fifths of their tokens at most;
- `simulated`: the same for every simulated judge whose votes on one comparison are correlated.

Judges whose votes are independent coins are shown beside, and nothing is claimed of them: where each vote is hardly
better than a coin, the verdict of many hangs on the last ones.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fathom.atomic import replacing
from fathom.engines import Sampling
from fathom.engines.cache import CachedEngine
from fathom.engines.local import LocalEngine
from fathom.judges import Voter
from fathom.judges.mix import MixJudge
from fathom.judging import write_verdicts
from fathom.metrics.intervals import Interval, bootstrap
from fathom.metrics.votes import first
from fathom.mini import arms, base, world
from fathom.provenance import provenance, write_json
from fathom.rationale import Status
from fathom.records import Comparison
from fathom.report.figures import Line, lines
from fathom.report.page import markdown
from fathom.reproductions._claims import claim, claim_folder, named, side_by_side
from fathom.runs import open as open_run
from fathom.scaling.adaptive import Adaptive, settled_after
from fathom.scaling.votes import Repeated
from fathom.verdict import Rule, Vote

JUDGES: Mapping[arms.Arm, str] = {"base": "vanilla rationales", "mix": "breadth and depth"}
"""What the judges were fine-tuned on."""
MOST = 32
FIXED = (1, 2, 4, 8, 16, 32)
ERRORS = (0.2, 0.1, 0.05, 0.03, 0.02)
"""Error budgets of the curve; the claims are about `CLAIMED`."""
CLAIMED = 0.03
MARGIN = 0.005
SHARE = 0.4
ACCURACIES = (0.65, 0.75, 0.85, 0.95)
CORRELATIONS = (0.25, 0.5, 0.75)
INDEPENDENT = 0.02
"""A correlation at which votes are nearly independent coins of one accuracy."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    held_out: int = 800
    """Comparisons of the small world to judge, a judge and seed."""
    simulated: int = 12000
    """Comparisons for each simulated judge, a seed."""
    temperature: float = 1.0


def reproduce(out: Path, seeds: Sequence[int], settings: Settings | None = None) -> Iterator[str]:
    """Runs the experiment into `out`, then writes results.json, adaptive-votes.md and its figure; yields progress."""
    settings = settings or Settings()
    origin = provenance({"seeds": list(seeds), **asdict(settings)}, [base.PATH])
    told = {name: value for name, value in asdict(settings).items() if name != "simulated"}  # which no folder holds
    for seed in seeds:
        experiment = {"settings": told, "base": sorted(origin["inputs"].values()), "recipes": arms.recipes_used()}
        claim_folder(out / f"seed-{seed}", experiment)
        if not (out / f"seed-{seed}" / "synthesised" / "manifest.json").exists():
            arms.synthesise(arms.Settings(), seed, out / f"seed-{seed}" / "synthesised")
            yield f"seed {seed}: synthesised"
    parts = [(arm, seed, settings, out / f"seed-{seed}") for seed in seeds for arm in JUDGES]
    for arm, seed, *_ in side_by_side(measure, parts):
        yield f"seed {seed}: judge of {JUDGES[arm]} fine-tuned, votes cast"
    found = {**results(out, seeds, settings), "seeds": list(seeds), "origin": origin}
    write_json(out / "results.json", found)
    figure(found, out)
    (out / "adaptive-votes.md").write_text(page(found, settings), encoding="utf-8")
    yield f"wrote {out / 'results.json'}, {out / 'adaptive-votes.md'} and its figure"


# The small world ------------------------------------------------------------------------------------------------------


def measure(arm: arms.Arm, seed: int, settings: Settings, out: Path) -> None:
    """Fine-tunes a judge and lets it vote: greedily, `MOST` times, and until settled. What is there is kept."""
    arms.use_one_thread()
    model = out / arm / "model"
    if not (model / "model.safetensors").exists():
        arms.fine_tune(arm, seed, out / "synthesised", model)
    items = world.items(settings.held_out, seed=seed, verbs=arms.VERBS, prefix="held-out")
    comparisons = [item.comparison for item in items]
    asyncio.run(_vote(model, seed, settings, comparisons, out / arm))


async def _vote(model: Path, seed: int, settings: Settings, comparisons: Sequence[Comparison], out: Path) -> None:
    async with CachedEngine(LocalEngine(str(model)), out / "journal") as engine:

        def judge(temperature: float) -> MixJudge:
            sampling = Sampling(temperature=temperature, max_tokens=128, seed=seed)
            return MixJudge(engine=engine, sampling=sampling, trained=True)

        sampled = judge(settings.temperature)
        voters: dict[str, Voter] = {"greedy": judge(0.0), "fixed": Repeated(sampled, MOST)}
        voters |= {f"adaptive-{error}": Adaptive(sampled, MOST, error) for error in ERRORS}
        for name, voter in voters.items():
            path = out / f"{name}.jsonl"
            if not path.exists():
                with replacing(path) as sink:
                    await write_verdicts(voter, comparisons, sink, lambda _: None)


@dataclass(frozen=True, slots=True)
class Judged:
    """One comparison: 1 for the right verdict, 1/2 for a tie, 0 for all else; and what was written for it."""

    points: float
    tokens: float
    winner: int | None


def _judged(row: Mapping[str, Any]) -> Judged:
    right = 0.5 if row["status"] == "ok" and row["winner"] is None else float(bool(row["correct"]))
    return Judged(right, row["tokens"]["completion"], row["winner"])


Runs = Mapping[str, Sequence[Sequence[Judged]]]
"""For each way to vote, one run a seed, on the same comparisons in the same order."""


def collect(arm: arms.Arm, out: Path, seeds: Sequence[int]) -> Runs:
    def rows(seed: int, name: str) -> list[dict[str, Any]]:
        return list(open_run(out / f"seed-{seed}" / arm / f"{name}.jsonl").rows())

    fixed = {seed: rows(seed, "fixed") for seed in seeds}
    runs = {"greedy": [[_judged(row) for row in rows(seed, "greedy")] for seed in seeds]}
    runs |= {f"fixed {k}": [[_judged(first(row, k)) for row in fixed[seed]] for seed in seeds] for k in FIXED}
    for error in ERRORS:
        runs[f"adaptive {error}"] = [[_judged(row) for row in rows(seed, f"adaptive-{error}")] for seed in seeds]
    return runs


# Simulated judges -----------------------------------------------------------------------------------------------------


def simulated(accuracy: float, correlation: float, seed: int, count: int) -> dict[str, list[Judged]]:
    """A judge that is right with a chance of its own on each comparison: Beta distributed, `accuracy` on average.

    `correlation`, between 0 and 1, is that between two votes on one comparison. A vote costs one token.
    """
    rng = random.Random(f"{accuracy}/{correlation}/{seed}")
    weight = 1 / correlation - 1
    runs: dict[str, list[Judged]] = {"fixed": [], "adaptive": []}
    for _ in range(count):
        chance = rng.betavariate(accuracy * weight, (1 - accuracy) * weight)
        cast = tuple(Vote(Status.OK, winner=int(rng.random() >= chance), order=(0, 1)) for _ in range(MOST))
        asked = settled_after(cast, Rule(), CLAIMED)
        for name, votes in (("fixed", cast), ("adaptive", cast[:asked])):
            winner = Rule()(votes).winner
            runs[name].append(Judged(0.5 if winner is None else float(winner == 0), len(votes), winner))
    return runs


# Results --------------------------------------------------------------------------------------------------------------


def results(out: Path, seeds: Sequence[int], settings: Settings) -> dict[str, Any]:
    runs = {arm: collect(arm, out, seeds) for arm in JUDGES}
    simulations = {
        (accuracy, correlation): [simulated(accuracy, correlation, seed, settings.simulated) for seed in seeds]
        for correlation in (*CORRELATIONS, INDEPENDENT)
        for accuracy in ACCURACIES
    }
    beside = {
        key: against_fixed([run["adaptive"] for run in by_seed], [run["fixed"] for run in by_seed])
        for key, by_seed in simulations.items()
    }
    return {
        "ways": {
            arm: {name: _summary(ways[name], ways[f"fixed {MOST}"]) for name in ways} for arm, ways in runs.items()
        },
        "simulated": [
            {"accuracy": accuracy, "correlation": correlation, **_row(told), **_accuracy(simulations[key])}
            for key, told in beside.items()
            for accuracy, correlation in [key]
        ],
        "claims": {
            **{
                JUDGES[arm]: _worst({JUDGES[arm]: against_fixed(ways[f"adaptive {CLAIMED}"], ways[f"fixed {MOST}"])})
                for arm, ways in runs.items()
            },
            "simulated": _worst(
                {
                    f"accuracy {accuracy}, correlation {correlation}": told
                    for (accuracy, correlation), told in beside.items()
                    if correlation != INDEPENDENT
                }
            ),
        },
        "ceiling": 1.0,
    }


@dataclass(frozen=True, slots=True)
class Against:
    """Adaptive votes against fixed ones: differences of accuracy, share of the tokens, share of other verdicts."""

    accuracy: Interval
    tokens: Interval
    other: Interval


def against_fixed(adaptive: Sequence[Sequence[Judged]], fixed: Sequence[Sequence[Judged]]) -> Against:
    def of(value: Any) -> Interval:
        return bootstrap(
            [[value(a, b) for a, b in zip(run, other, strict=True)] for run, other in zip(adaptive, fixed, strict=True)]
        )

    mean = sum(item.tokens for run in fixed for item in run) / sum(map(len, fixed))
    return Against(
        accuracy=of(lambda a, b: a.points - b.points),
        tokens=of(lambda a, _: a.tokens / mean),
        other=of(lambda a, b: float(a.winner != b.winner)),
    )


def _summary(runs: Sequence[Sequence[Judged]], fixed: Sequence[Sequence[Judged]]) -> dict[str, Any]:
    told = against_fixed(runs, fixed)
    return {**named("accuracy", bootstrap([[item.points for item in run] for run in runs])), **_row(told)}


def _row(told: Against) -> dict[str, Any]:
    return {
        "difference": named("mean", told.accuracy),
        "tokens": named("share", told.tokens),
        "other": named("share", told.other),
    }


def _accuracy(by_seed: Sequence[Mapping[str, Sequence[Judged]]]) -> dict[str, float]:
    items = [item.points for run in by_seed for item in run["fixed"]]
    return {"fixed": sum(items) / len(items)}


def _worst(beside: Mapping[str, Against]) -> dict[str, Any]:
    """The claim for all of them, told by the one that is nearest to failing in accuracy, and the dearest."""
    lowest = min(beside, key=lambda name: beside[name].accuracy.low)
    dearest = max(beside, key=lambda name: beside[name].tokens.high)
    accuracy = f"worst accuracy, adaptive - {MOST} votes ({lowest})"
    tokens = f"{SHARE} - largest share of their tokens ({dearest})"
    return claim(
        {accuracy: beside[lowest].accuracy, tokens: _less(SHARE, beside[dearest].tokens)}, bars={accuracy: -MARGIN}
    )


def _less(most: float, interval: Interval) -> Interval:
    return Interval(most - interval.mean, most - interval.high, most - interval.low)


# The page -------------------------------------------------------------------------------------------------------------


def figure(found: Mapping[str, Any], out: Path) -> None:
    """Accuracy against tokens, as shares of those of 32 votes."""

    def line(arm: arms.Arm, names: Sequence[str]) -> Line:
        ways = [found["ways"][arm][name] for name in names]
        return [(way["tokens"]["share"], Interval(way["accuracy"], way["low"], way["high"])) for way in ways]

    lines(
        {
            name: {
                "fixed number of votes": line(arm, [f"fixed {k}" for k in FIXED]),
                "adaptive votes": line(arm, [f"adaptive {error}" for error in ERRORS]),
                "greedy": line(arm, ["greedy"]),
            }
            for arm, name in JUDGES.items()
        },
        out / "adaptive-votes",
        across=f"tokens written, share of those of {MOST} votes",
        up="accuracy, ties as half",
    )


def page(found: Mapping[str, Any], settings: Settings) -> str:
    """The page in Markdown, every number from `found`."""
    told = {
        "most": MOST,
        "margin": MARGIN,
        "share": SHARE,
        "claimed": CLAIMED,
        "independent": INDEPENDENT,
        "judges": JUDGES,
    }
    return markdown("fathom.reproductions", "adaptive_votes.md.jinja", **found, **told, settings=settings)
