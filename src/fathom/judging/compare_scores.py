"""Compare the scores of two engines for the same texts, or those of one engine with known scores.

    compare = CompareScores(lambda engine: ScalarRewardModel(engine=engine), (local, server))
    entries = [entry async for _, some in judge_all(compare, comparisons) for entry in some]
    found = agreement(entries)
    found.largest, found.correlation, found.first_apart, found.reason

`reason` is the likely reason of a difference, not a proof. It is inferred from the values, and from the numbers
of prompt tokens if both engines report them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from statistics import pstdev
from typing import Any, BinaryIO, Literal

from pydantic_core import to_json

from fathom.data.records import Comparison
from fathom.engines import Engine
from fathom.errors import FathomError
from fathom.judges import RewardModel, Verdict, judge_all
from fathom.metrics.correlations import rank_correlation

APART = 0.02
"""Scores are apart if they differ by more than this share of the spread of the first engine's scores. Different batches
in bfloat16 differ by less."""
LEAST = 1e-3
"""Scores that differ by at most this count as equal, whatever the spread."""
ROUNDING = 0.5
"""The largest difference, in units of the spread, that half precision explains."""

Reason = Literal["failed", "activation", "begin token", "truncation", "template", "precision", "model"]

REASONS: dict[Reason, str] = {
    "failed": "an engine gave no score",
    "activation": "one engine's scores are a sigmoid of the other's: send use_activation=false, or use /classify of "
    "SGLang, not /v1/classify",
    "begin token": "one engine reads one token more in every text: the begin token is probably added twice; send "
    "messages or token ids, or strip the begin token that the template writes",
    "truncation": "one engine reads at most {limit} tokens of a text: raise its context length or its limit on prompts",
    "template": "the engines read different numbers of tokens: check the chat template and the system message",
    "precision": "nearly the same scores, and no difference in numbers of tokens: check dtype and quantization",
    "model": "the scores differ by more than rounding explains: check weights, the head, and the chat template",
}
"""The possible reasons of a difference, in the order in which `likely_reason` checks them."""

UNCOUNTED = (
    "the numbers of tokens are unknown, so it may also be other texts than those of the known scores, a begin token "
    "added twice, a truncation or another chat template; otherwise, "
)


@dataclass(frozen=True, slots=True)
class Entry:
    """The scores of one response by two engines; None where an engine gave none."""

    id: str
    """The id of the comparison, and the number of the response, from 1."""
    scores: tuple[float | None, float | None]
    tokens: tuple[int, int] = (0, 0)
    """Prompt tokens; 0 if unknown."""

    @property
    def difference(self) -> float:
        """The absolute difference; infinite if exactly one of the scores is missing."""
        one, other = self.scores
        if one is None or other is None:
            return 0.0 if one is other else math.inf
        return abs(one - other)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well two lists of scores agree."""

    responses: int
    failed: int
    """Responses without a score of both engines."""
    largest: float
    """The largest difference of two scores."""
    largest_at: str | None
    spread: float
    """The standard deviation of the first engine's scores."""
    correlation: float | None
    """Spearman's rank correlation; None for fewer than two scores, or constant ones."""
    apart: int
    """Responses whose scores differ by more than `APART` of the spread."""
    first_apart: str | None
    reason: Reason | None
    """The likely reason, if any scores are apart or missing."""
    limit: int | None = None
    """With the reason "truncation": how many tokens are read at most."""
    counted: bool = True
    """Whether numbers of prompt tokens of both sides are known. Known scores have none."""

    @property
    def agrees(self) -> bool:
        return self.reason is None

    def reason_in_words(self) -> str:
        if self.reason is None:
            return "none"
        words = REASONS[self.reason].format(limit=self.limit)
        return words if self.counted or self.reason not in ("precision", "model") else UNCOUNTED + words


class CompareScores:
    """`await compare(comparison)` scores with two engines, or with one, whose scores then stand beside the label's.

    `model_of` makes the reward model that uses an engine.
    """

    def __init__(self, model_of: Callable[[Engine], RewardModel], engines: Sequence[Engine]) -> None:
        self.models = [model_of(engine) for engine in engines]

    async def __call__(self, comparison: Comparison) -> list[Entry]:
        verdicts = await asyncio.gather(*(model(comparison) for model in self.models))
        sides = [_single(verdict, len(comparison.responses)) for verdict in verdicts]
        if len(sides) == 1:
            expected = comparison.label.response_scores if comparison.label else None
            sides.insert(0, [(score, 0) for score in expected or [None] * len(comparison.responses)])
        return [
            Entry(f"{comparison.id}, response {number}", (one[0], other[0]), (one[1], other[1]))
            for number, (one, other) in enumerate(zip(*sides, strict=True), 1)
        ]


def _single(verdict: Verdict, n: int) -> list[tuple[float | None, int]]:
    """The score of each response and the number of its prompt tokens."""
    (vote,) = verdict.votes
    single = vote.per_response or (vote,)
    if len(single) != n:
        raise FathomError(
            f"scores are compared response by response, but the model shows {n} responses at once; expected one that "
            "scores each response alone, such as scalar"
        )
    return [(each.scores[0] if each.scores else None, each.usage.prompt_tokens) for each in single]


def agreement(entries: Sequence[Entry]) -> Agreement:
    """How well the scores of two engines agree. Raises ValueError without entries."""
    if not entries:
        raise ValueError("there are no scores to compare")
    both = [entry for entry in entries if None not in entry.scores]
    mine, theirs = ([float(entry.scores[k] or 0.0) for entry in both] for k in (0, 1))
    spread = pstdev(mine) if mine else 0.0
    apart = [entry for entry in entries if entry.difference > max(LEAST, APART * spread)]
    failed = len(entries) - len(both)
    largest = max(both, key=lambda entry: entry.difference, default=None)
    reason = likely_reason(both, spread) if apart and not failed else None
    return Agreement(
        responses=len(entries),
        failed=failed,
        largest=largest.difference if largest else math.inf,
        largest_at=largest.id if largest else None,
        spread=spread,
        correlation=_rank_correlation(mine, theirs),
        apart=len(apart),
        first_apart=apart[0].id if apart else None,
        reason="failed" if failed else reason,
        limit=_limit(both) if reason == "truncation" else None,
        counted=any(0 not in entry.tokens for entry in both),
    )


def likely_reason(entries: Sequence[Entry], spread: float) -> Reason:
    """The likely reason why scores differ: the first of `REASONS` that fits."""
    if _is_activation(entries, 0, 1) or _is_activation(entries, 1, 0):
        return "activation"
    counted = [entry.tokens for entry in entries if 0 not in entry.tokens]
    differences = {other - one for one, other in counted}
    if differences in ({1}, {-1}):
        return "begin token"
    if differences - {0}:
        return "truncation" if _limit(entries) is not None else "template"
    largest = max(entry.difference for entry in entries)
    return "precision" if largest <= ROUNDING * spread else "model"


def _is_activation(entries: Sequence[Entry], raw: int, squashed: int) -> bool:
    pairs = [(float(entry.scores[raw] or 0.0), float(entry.scores[squashed] or 0.0)) for entry in entries]
    return all(abs(_sigmoid(one) - other) <= APART for one, other in pairs)


def _sigmoid(value: float) -> float:
    return 0.5 * (1 + math.tanh(value / 2))


def _limit(entries: Sequence[Entry]) -> int | None:
    """The number of tokens at which one engine cuts every longer text; None if none does."""
    for one, other in ((0, 1), (1, 0)):
        pairs = [(entry.tokens[one], entry.tokens[other]) for entry in entries if 0 not in entry.tokens]
        limit = max((cut for _, cut in pairs), default=0)
        if any(whole > limit for whole, _ in pairs) and all(cut == min(whole, limit) for whole, cut in pairs):
            return limit
    return None


def _rank_correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    if len(set(one)) < 2 or len(set(other)) < 2:
        return None
    return rank_correlation(one, other)


async def write_scores(
    compare: CompareScores, comparisons: Iterable[Comparison], sink: BinaryIO, done: Callable[[], None]
) -> list[Entry]:
    """Write one line of JSON per response, calling `done` after each comparison, and return the entries."""
    entries: list[Entry] = []
    async with aclosing(judge_all(compare, comparisons)) as results:
        async for _, found in results:
            for entry in found:
                sink.write(to_json(entry_row(entry)) + b"\n")
            entries += found
            done()
    return entries


def entry_row(entry: Entry) -> dict[str, Any]:
    """An entry as plain JSON. Lists of two have the first engine, or the expected score, first."""
    return {"id": entry.id, "scores": entry.scores, "tokens": [count or None for count in entry.tokens]}
