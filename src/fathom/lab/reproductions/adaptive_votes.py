"""Adaptive votes: the accuracy of 32 votes at a fraction of their tokens.

A claim of this library. It is tested in the small world with two judges: one that voting helps much, because it uses
three random principles, and one that it helps less, because its votes are more correlated (it is fine-tuned on the mix
of breadth and depth). adaptive_votes.yaml states the claims, and fixes the budget and the estimand in advance.

Votes on one comparison are exchangeable: all of their orders are equally likely. So the estimand is the mean over all
orders, which `endings` computes exactly. The order in which they were cast has a row of its own.

Judges of known accuracy and correlation need no experiment: `exactly` computes what adaptive votes do to them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import comb, exp, sqrt
from operator import mul
from pathlib import Path
from statistics import fmean, variance
from typing import Any, NamedTuple

from fathom.data.atomic import atomic_write
from fathom.data.records import Comparison
from fathom.engines import Sampling
from fathom.engines.cache import CachedEngine
from fathom.engines.local import LocalEngine
from fathom.judges import RewardModel, Rule, Vote
from fathom.judges.mix import MixJudge
from fathom.judging import write_verdicts
from fathom.lab import arms, base
from fathom.lab.experiments.experiment import Experiment
from fathom.lab.experiments.results import Measurement
from fathom.rationale import Status
from fathom.report.figures import Line, lines
from fathom.results.runs import open as open_run
from fathom.voting.adaptive import Adaptive, flip_probability, log_beta
from fathom.voting.wrappers import Repeated

JUDGES: Mapping[arms.Arm, str] = {"base": "vanilla rationales", "mix": "breadth and depth"}
"""The training sets of the judges."""
MOST = 32
FIXED = (1, 3, 7, 15, 32)
"""Fixed numbers of votes: odd ones, since an even number may end in a tie, and all."""
LEADS = (4, 5, 6)
"""The simplest adaptive rule stops once the leading verdict is this many votes ahead of every other."""
ERRORS = (0.2, 0.1, 0.05, 0.03, 0.02)
"""Error budgets in the figure. The claims are about `CLAIMED`."""
CLAIMED = 0.03
HAPPENED = f"adaptive {CLAIMED}, as it happened"
SHARE = 0.4
"""The largest share of the tokens of all votes that the claims allow."""
LOSS = 0.005
"""The largest loss of accuracy that they allow."""
CONSTANT = "lead of 5"
"""The rule that the exact table shows beside adaptive votes."""
ACCURACIES = (0.55, 0.60, 0.65, 0.75, 0.85, 0.95)
CORRELATIONS = (0.0, 0.1, 0.25, 0.5, 0.75)


@dataclass(frozen=True, kw_only=True)
class Settings:
    held_out: int
    """Comparisons of the small world to judge, per judge and seed."""
    temperature: float


# The small world ------------------------------------------------------------------------------------------------------


def prepare(part: str, seed: int, settings: Settings, folder: Path) -> None:
    if not (folder / "synthesised" / "manifest.json").exists():
        arms.synthesise(arms.Settings(), seed, folder / "synthesised")


def run(part: str, seed: int, settings: Settings, out: Path) -> None:
    """Fine-tune a judge and let it vote: greedily, `MOST` times, and adaptively. Finished files are kept."""
    arms.use_one_thread()
    [arm] = (arm for arm in JUDGES if arm == part)
    model = out / arm / "model"
    if not (model / "model.safetensors").exists():
        arms.fine_tune(arm, seed, out / "synthesised", model)
    comparisons = [item.comparison for item in arms.held_out(seed, settings.held_out)]
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
"""A vote is right, wrong, for a tie, or unparsed. Response 0 is the better one."""
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


def lead(votes: int) -> Stops:
    def stops(counts: Counts, left: int) -> bool:
        first, second, _ = sorted(counts[:3], reverse=True)
        return first - second >= votes

    return stops


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
    """The probability of each stopping point (counts of cast votes), if all orders of the votes are equally likely.

    The next vote is drawn uniformly from those that are left. At least one vote is cast.
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


Run = Sequence[Judged]
"""One way to vote on one seed: the same comparisons in the same order for every way."""
WAYS: Mapping[str, Stops] = {
    **{f"fixed {count}": fixed(count) for count in FIXED},
    **{f"adaptive {error}": adaptive(error) for error in ERRORS},
    **{f"lead of {votes}": lead(votes) for votes in LEADS},
}
ALL = f"fixed {MOST}"

Rows = Sequence[Mapping[str, Any]]


def measure(seed: int, settings: Settings, folder: Path) -> Measurement:
    return measured(
        {
            arm: [list(open_run(folder / arm / f"{name}.jsonl").rows()) for name in ("fixed", "greedy", "adaptive")]
            for arm in JUDGES
        }
    )


def measured(rows: Mapping[arms.Arm, Sequence[Rows]]) -> Measurement:
    """A pure function of one seed's rows, for each judge: with all votes, the greedy vote, and adaptive votes."""
    ways = {arm: collect(*rows[arm]) for arm in JUDGES}
    figures = {arm: {way: _summary(run, ways[arm][ALL]) for way, run in ways[arm].items()} for arm in JUDGES}
    claimed = f"adaptive {CLAIMED}"
    contrasts = {}
    for arm, name in JUDGES.items():
        cell = figures[arm][claimed]
        contrasts[f"accuracy, adaptive - {MOST} votes, {name}"] = cell["difference"]
        contrasts[f"{SHARE} - share of the tokens, {name}"] = SHARE - cell["tokens"]
        contrasts[f"{CLAIMED} - share of other verdicts, {name}"] = CLAIMED - cell["other"]
    return Measurement(
        contrasts=contrasts,
        figures={
            "ways": figures,
            "correlation": {arm: correlation(rows[arm][0]) for arm in JUDGES},
            "order": {
                arm: {
                    "spread_of_places": spread_of_places(rows[arm][0]),
                    "deviations": deviations(ways[arm][HAPPENED], ways[arm][claimed]),
                }
                for arm in JUDGES
            },
        },
    )


def collect(every: Rows, greedy: Rows, settled: Rows) -> dict[str, Run]:
    """All ways to vote, from the rows with all votes, with the greedy vote, and with adaptive votes."""
    all_votes = [_cast(row) for row in every]
    runs: dict[str, Run] = {
        way: [expected(counts, tokens, stops) for counts, tokens in all_votes] for way, stops in WAYS.items()
    }
    for way, rows in {"greedy": greedy, HAPPENED: settled}.items():
        runs[way] = [
            _happened(*_cast(row), winner=_winner(counts)) for row, (counts, _) in zip(rows, all_votes, strict=True)
        ]
    return runs


def _summary(run: Run, every: Run) -> dict[str, float]:
    return {
        "accuracy": fmean(item.points for item in run),
        "difference": fmean(a.points - b.points for a, b in zip(run, every, strict=True)),
        "tokens": fmean(item.tokens for item in run) / fmean(item.tokens for item in every),
        "other": fmean(item.other for item in run),
    }


def correlation(rows: Rows) -> float:
    """The correlation between two votes on one comparison being right, from all pairs of votes of each comparison."""
    right = [sum(_kind(vote, row["label"]) == 0 for vote in row["votes"]) for row in rows]
    accuracy = fmean(right) / MOST
    both = fmean(count * (count - 1) for count in right) / (MOST * (MOST - 1))
    return (both - accuracy**2) / (accuracy * (1 - accuracy))


def deviations(happened: Run, expected: Run) -> float:
    """The z-score of the points of one order, relative to all orders."""
    difference = sum(one.points - mean.points for one, mean in zip(happened, expected, strict=True))
    return difference / sqrt(sum(mean.variance for mean in expected))


def spread_of_places(rows: Rows) -> float:
    """The variance of the accuracies of the first, second, ... vote, relative to that expected of exchangeable votes.

    It has one degree of freedom less than there are votes.
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


# Judges of known accuracy and correlation -----------------------------------------------------------------------------


class Exact(NamedTuple):
    """Adaptive votes of one judge, computed without sampling."""

    accuracy: float
    correlation: float
    every: float
    """Accuracy of all votes."""
    difference: float
    """Accuracy of adaptive votes less that of all."""
    tokens: float
    other: float
    best: float
    """Upper bound on the difference at the same number of votes, for any stopping rule."""


def exactly(accuracy: float, correlation: float, way: str = f"adaptive {CLAIMED}") -> Exact:
    """Adaptive votes of a judge whose probability of being right varies from comparison to comparison.

    That probability has a Beta distribution whose mean is `accuracy`; `correlation` is the correlation of two votes on
    one comparison, 0 for independent votes. The number of right votes of `MOST` is then Beta-binomial, and the votes
    come in any order with equal probability, so that the sum over `expected` is exact.
    """
    chance = _chances(accuracy, correlation)
    every = {counts: comb(MOST, counts[0]) * chance(*counts[:2]) for counts in _splits()}
    judged = {counts: expected(counts, (1.0,) * len(KINDS), WAYS[way]) for counts in every}
    all_right = sum(weight * _points(counts) for counts, weight in every.items())
    tokens = sum(weight * judged[counts].tokens for counts, weight in every.items()) / MOST
    return Exact(
        accuracy,
        correlation,
        every=all_right,
        difference=sum(weight * judged[counts].points for counts, weight in every.items()) - all_right,
        tokens=tokens,
        other=sum(weight * judged[counts].other for counts, weight in every.items()),
        best=best_possible(accuracy, correlation, tokens) - all_right,
    )


def _splits() -> Iterator[Counts]:
    return ((right, MOST - right, 0, 0) for right in range(MOST + 1))


def _chances(accuracy: float, correlation: float) -> Callable[[int, int], float]:
    """Probability of one particular sequence with `right` correct and `wrong` incorrect votes."""
    if correlation == 0:
        return lambda right, wrong: accuracy**right * (1 - accuracy) ** wrong
    weight = 1 / correlation - 1
    a, b = accuracy * weight, (1 - accuracy) * weight

    @cache
    def chance(right: int, wrong: int) -> float:
        return exp(log_beta(a + right, b + wrong) - log_beta(a, b))

    return chance


def best_possible(accuracy: float, correlation: float, share: float) -> float:
    """Upper bound on the accuracy of any stopping rule that casts this share of `MOST` votes on average.

    It also bounds rules that know the accuracy and the correlation. By Lagrangian duality, for every cost c of a vote,
    max over rules of E[accuracy - c votes] + c budget is an upper bound. The lowest over a grid of c is returned.
    """
    chance = _chances(accuracy, correlation)
    return min(_net_value(chance, cost) + cost * share * MOST for cost in (10 ** (-k / 20) for k in range(121)))


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


# The page -------------------------------------------------------------------------------------------------------------


def tables(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "judges": JUDGES,
        "happened": HAPPENED,
        "most": MOST,
        "claimed": CLAIMED,
        "limits": {"loss": LOSS, "tokens": SHARE, "other": CLAIMED},
        "constant": CONSTANT,
        "exact": [
            (exactly(accuracy, correlation), exactly(accuracy, correlation, CONSTANT))
            for correlation in CORRELATIONS
            for accuracy in ACCURACIES
        ],
    }


def figures(found: Mapping[str, Any], folder: Path) -> None:
    """Accuracy against tokens, as shares of those of 32 votes."""

    def line(arm: arms.Arm, names: Sequence[str]) -> Line:
        ways = [found["ways"][arm][name] for name in names]
        return [(way["tokens"].mean, way["accuracy"].bar) for way in ways]

    lines(
        {
            name: {
                "fixed number of votes": line(arm, [f"fixed {k}" for k in FIXED]),
                "adaptive votes": line(arm, [f"adaptive {error}" for error in ERRORS]),
                "constant lead": line(arm, [f"lead of {votes}" for votes in LEADS]),
                "greedy": line(arm, ["greedy"]),
            }
            for arm, name in JUDGES.items()
        },
        folder / "adaptive-votes",
        across=f"completion tokens, as a share of those of {MOST} votes",
        up="accuracy, a tie counts half",
    )


EXPERIMENT = Experiment(
    home=Path(__file__),
    make_settings=Settings,
    parts=tuple(JUDGES),
    prepare=prepare,
    run=run,
    measure=measure,
    tables=tables,
    figures=figures,
    recipes=arms.recipes_used,
    inputs=[base.PATH],
)
