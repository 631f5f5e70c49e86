"""Adaptive votes: the accuracy of 32 votes at a fraction of their tokens.

A claim of this library, put to the test where it can fail: in the small world, with one judge whom votes help (it
thinks of three principles at random) and one whom they hardly do (fine-tuned on the mix of breadth and depth, its votes
err alike); and on simulated judges, of which accuracy and the correlation of votes are known.

- `vanilla rationales`, `breadth and depth`: within half a point of 32 votes, at two fifths of their tokens at most;
- `simulated`: the same for every simulated judge whose votes on one comparison are correlated.

Judges whose votes are independent coins are shown beside, and nothing is claimed of them: where each vote is hardly
better than a coin, the verdict of many hangs on the last ones, and no rule at all that stops earlier keeps it.

Votes on one comparison are exchangeable: any of their orders was as likely as the one they came in. So where asking
stops is not read off that one order; `endings` weighs all of them, exactly. The one that happened is told beside.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from math import comb, exp, sqrt
from operator import mul
from pathlib import Path
from statistics import fmean, variance
from typing import Any

from fathom.data.atomic import atomic_write
from fathom.data.records import Comparison
from fathom.engines import Sampling
from fathom.engines.cache import CachedEngine
from fathom.engines.local import LocalEngine
from fathom.judges import RewardModel, Rule, Vote
from fathom.judges.mix import MixJudge
from fathom.judging import write_verdicts
from fathom.lab import arms, base, world
from fathom.lab.reproductions._claims import below, claim, claim_folder, named, side_by_side
from fathom.metrics.intervals import Interval, bootstrap
from fathom.rationale import Status
from fathom.report.figures import Line, lines
from fathom.report.page import markdown
from fathom.results.provenance import provenance, write_json
from fathom.results.runs import open as open_run
from fathom.voting.adaptive import Adaptive, flip_probability, log_beta
from fathom.voting.wrappers import Repeated

JUDGES: Mapping[arms.Arm, str] = {"base": "vanilla rationales", "mix": "breadth and depth"}
"""The training sets of the judges."""
MOST = 32
FIXED = (1, 2, 4, 8, 16, 32)
ERRORS = (0.2, 0.1, 0.05, 0.03, 0.02)
"""Error budgets of the curve; the claims are about `CLAIMED`."""
CLAIMED = 0.03
HAPPENED = f"adaptive {CLAIMED}, as it happened"
MARGIN = 0.005
SHARE = 0.4
ACCURACIES = (0.65, 0.75, 0.85, 0.95)
CORRELATIONS = (0.25, 0.5, 0.75)
INDEPENDENT = 0.02
"""A correlation at which votes are nearly independent with one accuracy."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    held_out: int = 800
    """Comparisons of the small world to judge, a judge and seed."""
    simulated: int = 6000
    """Comparisons for each simulated judge, a seed."""
    temperature: float = 1.0


def reproduce(out: Path, seeds: Sequence[int], settings: Settings | None = None) -> Iterator[str]:
    """Run the experiment in `out`, then write results.json, adaptive-votes.md and its figure; yield progress."""
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
        voters: dict[str, RewardModel] = {
            "greedy": judge(0.0),
            "fixed": Repeated(sampled, MOST),
            "adaptive": Adaptive(sampled, MOST, CLAIMED),
        }
        for name, voter in voters.items():
            path = out / f"{name}.jsonl"
            if not path.exists():
                with atomic_write(path) as sink:
                    async for _ in write_verdicts(voter, comparisons, sink, {}):
                        pass


# Votes in any order ---------------------------------------------------------------------------------------------------

KINDS = (
    Vote(Status.OK, winner=0, order=(0, 1)),
    Vote(Status.OK, winner=1, order=(0, 1)),
    Vote(Status.OK, order=(0, 1)),
    Vote(Status.INVALID, order=(0, 1)),
)
"""A vote is right, wrong, for a tie, or unparsed. Response 0 is the right one."""
Counts = tuple[int, ...]
"""The number of votes of each kind."""
Stops = Callable[[Counts, int], bool]
"""Whether voting stops after these votes, given the number left."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Expected values of the votes on one comparison."""

    points: float
    """1 for the right verdict, 0.5 for a tie, else 0."""
    tokens: float
    other: float
    """Probability that the verdict differs from that of all votes."""
    variance: float = 0.0
    """Variance of the points over the orders."""


def fixed(count: int) -> Stops:
    return lambda counts, _: sum(counts) >= count


def adaptive(error: float) -> Stops:
    return lambda counts, left: flip_probability(_votes(counts), Rule(), left) <= error


def _votes(counts: Counts) -> list[Vote]:
    return [kind for kind, count in zip(KINDS, counts, strict=True) for _ in range(count)]


def expected(cast: Counts, tokens: Sequence[float], stops: Stops) -> Judged:
    """Over all orders in which these votes could have been cast; `tokens` are those of a vote of each kind."""
    ends = endings(cast, stops)
    last = _winner(cast)
    points = sum(chance * _points(counts) for counts, chance in ends.items())
    return Judged(
        points=points,
        variance=sum(chance * (_points(counts) - points) ** 2 for counts, chance in ends.items()),
        tokens=sum(chance * sum(map(mul, counts, tokens)) for counts, chance in ends.items()),
        other=sum(chance for counts, chance in ends.items() if _winner(counts) != last),
    )


@cache
def endings(cast: Counts, stops: Stops) -> Mapping[Counts, float]:
    """What has been asked for where asking stops, and its chance, when any order of the votes is as likely as another.

    The next vote is one of those left, each as likely as another; nobody stops before the first.
    """
    ended: dict[Counts, float] = {}
    reached: Mapping[Counts, float] = {(0,) * len(cast): 1.0}
    for left in range(sum(cast), -1, -1):
        following: dict[Counts, float] = defaultdict(float)
        for counts, chance in reached.items():
            if left == 0 or (any(counts) and stops(counts, left)):
                ended[counts] = chance
                continue
            for kind, (total, asked) in enumerate(zip(cast, counts, strict=True)):
                if total > asked:
                    next_one = (*counts[:kind], asked + 1, *counts[kind + 1 :])
                    following[next_one] += chance * (total - asked) / left
        reached = following
    return ended


@cache
def _winner(counts: Counts) -> int | None:
    return Rule()(_votes(counts)).winner


@cache
def _points(counts: Counts) -> float:
    verdict = Rule()(_votes(counts))
    return 0.0 if verdict.status is not Status.OK else 0.5 if verdict.winner is None else float(verdict.winner == 0)


Runs = Mapping[str, Sequence[Sequence[Judged]]]
"""For each way to vote, one run a seed, on the same comparisons in the same order."""
WAYS: Mapping[str, Stops] = {
    **{f"fixed {count}": fixed(count) for count in FIXED},
    **{f"adaptive {error}": adaptive(error) for error in ERRORS},
}
ALL = f"fixed {MOST}"


Rows = Sequence[Mapping[str, Any]]


def collect(every: Sequence[Rows], greedy: Sequence[Rows], asked: Sequence[Rows]) -> Runs:
    """From the rows with all votes, with the greedy one, and with those that were asked for until settled, by seed."""
    all_votes = [[_cast(row) for row in rows] for rows in every]
    runs = {
        way: [[expected(counts, tokens, stops) for counts, tokens in run] for run in all_votes]
        for way, stops in WAYS.items()
    }
    for way, by_seed in {"greedy": greedy, HAPPENED: asked}.items():
        runs[way] = [
            [_happened(*_cast(row), winner=_winner(counts)) for row, (counts, _) in zip(rows, run, strict=True)]
            for rows, run in zip(by_seed, all_votes, strict=True)
        ]
    return runs


def _rows(arm: arms.Arm, out: Path, seeds: Sequence[int], name: str) -> list[Rows]:
    return [list(open_run(out / f"seed-{seed}" / arm / f"{name}.jsonl").rows()) for seed in seeds]


def deviations(happened: Sequence[Sequence[Judged]], expected: Sequence[Sequence[Judged]]) -> float:
    """The z-score of the points of one order, relative to all orders."""
    pairs = [pair for run, other in zip(happened, expected, strict=True) for pair in zip(run, other, strict=True)]
    return sum(one.points - mean.points for one, mean in pairs) / sqrt(sum(mean.variance for _, mean in pairs))


def spread_of_places(rows: Rows) -> float:
    """How much the accuracy of the first, second, ... vote varies, where 1 is as much as of exchangeable votes.

    That is a variance over another, with one degree of freedom less than there are votes.
    """
    right = [[float(_kind(vote, row["label"]) == 0) for vote in row["votes"]] for row in rows]
    by_chance = sum(map(variance, right)) / len(right) ** 2
    return variance(map(fmean, zip(*right, strict=True))) / by_chance


def _cast(row: Mapping[str, Any]) -> tuple[Counts, list[float]]:
    """The number of votes of each kind in a row, and their mean tokens."""
    tokens: list[list[int]] = [[] for _ in KINDS]
    for vote in row["votes"]:
        tokens[_kind(vote, row["label"])].append(vote["tokens"]["completion"])
    return tuple(map(len, tokens)), [fmean(each) if each else 0.0 for each in tokens]


def _kind(vote: Mapping[str, Any], label: int) -> int:
    if vote["status"] != "ok":
        return 3
    return 2 if vote["winner"] is None else int(vote["winner"] != label)


def _happened(counts: Counts, tokens: Sequence[float], winner: int | None) -> Judged:
    told = expected(counts, tokens, fixed(sum(counts)))
    return Judged(told.points, told.tokens, float(_winner(counts) != winner))


# Simulated judges -----------------------------------------------------------------------------------------------------


def simulated(accuracy: float, correlation: float, seed: int, count: int) -> list[Counts]:
    """All votes of a judge that is right with a chance of its own on each comparison: Beta distributed.

    `accuracy` is its mean, `correlation`, between 0 and 1, that between two votes on one comparison.
    """
    rng = random.Random(f"{accuracy}/{correlation}/{seed}")
    chances = (rng.betavariate(*_beta(accuracy, correlation)) for _ in range(count))
    right = [sum(rng.random() < chance for _ in range(MOST)) for chance in chances]
    return [(votes, MOST - votes, 0, 0) for votes in right]


def _beta(accuracy: float, correlation: float) -> tuple[float, float]:
    weight = 1 / correlation - 1
    return accuracy * weight, (1 - accuracy) * weight


def best_possible(accuracy: float, correlation: float, share: float) -> float:
    """Upper bound on the accuracy of any stopping rule that casts this share of `MOST` votes on average.

    Not even one that knows the judge's accuracy and correlation. By Lagrangian duality: whatever a vote is said to
    cost, the best value net of costs, with the budget's costs given back, is a bound; the least of them is returned.
    """
    chance = _chances(*_beta(accuracy, correlation))
    return min(_net_value(chance, cost) + cost * share * MOST for cost in (10 ** (-k / 20) for k in range(121)))


def _chances(a: float, b: float) -> Callable[[int, int], float]:
    """Probability of one particular sequence with `right` correct and `wrong` incorrect votes."""

    @cache
    def chance(right: int, wrong: int) -> float:
        return exp(log_beta(a + right, b + wrong) - log_beta(a, b))

    return chance


def _net_value(chance: Callable[[int, int], float], cost: float) -> float:
    """Probability of the right verdict minus the cost of votes, under the optimal rule; by backward induction."""
    values: list[float] = []
    for asked in range(MOST, -1, -1):
        states = [(chance(k, asked - k) / 2, chance(asked - k, k) / 2) for k in range(asked + 1)]
        stopped = [max(state) for state in states]
        if asked == MOST:
            values = stopped
        else:
            further = [values[k] + values[k + 1] - cost * sum(state) for k, state in enumerate(states)]
            values = [max(pair) for pair in zip(stopped, further, strict=True)]
    return values[0]


def fixed_accuracy(accuracy: float, correlation: float) -> float:
    """The accuracy of `MOST` votes; a tie counts as half."""
    chance = _chances(*_beta(accuracy, correlation))
    return sum(comb(MOST, k) * chance(k, MOST - k) * _points((k, MOST - k, 0, 0)) for k in range(MOST + 1))


# Results --------------------------------------------------------------------------------------------------------------


def results(out: Path, seeds: Sequence[int], settings: Settings) -> dict[str, Any]:
    every = {arm: _rows(arm, out, seeds, "fixed") for arm in JUDGES}
    runs = {
        arm: collect(every[arm], *(_rows(arm, out, seeds, name) for name in ("greedy", "adaptive"))) for arm in JUDGES
    }
    beside = {
        (accuracy, correlation): _simulated_against(accuracy, correlation, seeds, settings.simulated)
        for correlation in (*CORRELATIONS, INDEPENDENT)
        for accuracy in ACCURACIES
    }
    return {
        "ways": {arm: {way: _summary(ways[way], ways[ALL]) for way in ways} for arm, ways in runs.items()},
        "simulated": [
            {"accuracy": accuracy, "correlation": correlation, **_row(told), **_bounds(accuracy, correlation, told)}
            for (accuracy, correlation), told in beside.items()
        ],
        "claims": {
            **{
                JUDGES[arm]: _worst({JUDGES[arm]: against_all(ways[f"adaptive {CLAIMED}"], ways[ALL])})
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
        "order": {
            arm: {
                "spread_of_places": fmean(map(spread_of_places, every[arm])),
                "deviations": deviations(ways[HAPPENED], ways[f"adaptive {CLAIMED}"]),
            }
            for arm, ways in runs.items()
        },
        "ceiling": 1.0,
    }


@dataclass(frozen=True, slots=True)
class Against:
    """Votes against all of them: differences of accuracy, share of the tokens, share of other verdicts."""

    accuracy: Interval
    tokens: Interval
    other: Interval


def against_all(some: Sequence[Sequence[Judged]], every: Sequence[Sequence[Judged]]) -> Against:
    def of(value: Callable[[Judged, Judged], float]) -> Interval:
        return bootstrap(
            [[value(a, b) for a, b in zip(run, other, strict=True)] for run, other in zip(some, every, strict=True)]
        )

    mean = fmean(item.tokens for run in every for item in run)
    return Against(
        accuracy=of(lambda a, b: a.points - b.points),
        tokens=of(lambda a, _: a.tokens / mean),
        other=of(lambda a, _: a.other),
    )


def _simulated_against(accuracy: float, correlation: float, seeds: Sequence[int], count: int) -> Against:
    cast = [simulated(accuracy, correlation, seed, count) for seed in seeds]

    def judged(way: str) -> list[list[Judged]]:
        told = {counts: expected(counts, (1.0,) * len(KINDS), WAYS[way]) for counts in {c for run in cast for c in run}}
        return [[told[counts] for counts in run] for run in cast]

    return against_all(judged(f"adaptive {CLAIMED}"), judged(ALL))


def _bounds(accuracy: float, correlation: float, told: Against) -> dict[str, float]:
    all_votes = fixed_accuracy(accuracy, correlation)
    return {
        "fixed": all_votes,
        "best_at_these_tokens": best_possible(accuracy, correlation, told.tokens.mean) - all_votes,
        "best_at_share": best_possible(accuracy, correlation, SHARE) - all_votes,
    }


def _summary(runs: Sequence[Sequence[Judged]], every: Sequence[Sequence[Judged]]) -> dict[str, Any]:
    points = bootstrap([[item.points for item in run] for run in runs])
    return {**named("accuracy", points), **_row(against_all(runs, every))}


def _row(told: Against) -> dict[str, Any]:
    return {
        "difference": named("mean", told.accuracy),
        "tokens": named("share", told.tokens),
        "other": named("share", told.other),
    }


def _worst(beside: Mapping[str, Against]) -> dict[str, Any]:
    """The claim for all of them, told by the one that is nearest to failing in accuracy, and the dearest."""
    lowest = min(beside, key=lambda name: beside[name].accuracy.low)
    dearest = max(beside, key=lambda name: beside[name].tokens.high)
    accuracy = f"worst accuracy, adaptive - {MOST} votes ({lowest})"
    tokens = f"{SHARE} - largest share of their tokens ({dearest})"
    return claim(
        {accuracy: beside[lowest].accuracy, tokens: below(SHARE, beside[dearest].tokens)}, bars={accuracy: -MARGIN}
    )


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
    """The page in Markdown, with every number from `found`."""
    told = {
        "most": MOST,
        "margin": MARGIN,
        "share": SHARE,
        "claimed": CLAIMED,
        "independent": INDEPENDENT,
        "judges": JUDGES,
        "happened": HAPPENED,
    }
    return markdown("fathom.lab.reproductions", "adaptive_votes.md.jinja", **found, **told, settings=settings)
