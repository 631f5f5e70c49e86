"""Judge the same comparisons with two engines, and report where their verdicts and texts differ and why.

    compare = Compare(lambda engine: Swapped(MixJudge(engine=engine)), (local, server))
    async for comparison, compared in judge_all(compare, comparisons):
        compared.agree, [pair.cause for pair in compared.pairs]

Comparing texts makes sense only for greedy decoding: at a temperature above 0 two engines draw different random
numbers. `cause` is the likely cause of a difference, not a proof.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from typing import Any, BinaryIO, Literal

from pydantic_core import to_json

from fathom.data.records import Comparison
from fathom.engines import (
    Completion,
    Engine,
    EngineError,
    EngineWrapper,
    MissingLogprobsError,
    Request,
    TokenLogprob,
)
from fathom.judges import RewardModel, Verdict, judge_all
from fathom.rationale import Status

CONTEXT = 60
"""The number of characters shown before and after the position where two texts diverge."""

CLOSE = 0.1
"""The largest difference of log-probabilities (natural logarithm) of two tokens that count as equally probable; it is a
factor of 1.1 in probability."""

SAME = 1e-3
"""The tolerance within which scores, and log-probabilities of one engine, count as equal."""

MAX_FIRST = 5
"""The number of differing texts that a tally keeps as examples."""

Result = Completion | EngineError
Logprobs = tuple[TokenLogprob, ...] | None

Cause = Literal["failed", "prompt", "thinking", "whitespace", "limit", "end", "sampling", "tie", "model", "unknown"]

CAUSES: dict[Cause, str] = {
    "failed": "an engine returned no text",
    "prompt": "the prompts have different numbers of tokens: check chat template, system message and begin token",
    "thinking": "only one engine separates thinking from the answer: check its reasoning parser",
    "whitespace": "only white space differs: check how each engine decodes tokens",
    "limit": "one engine reached a token limit: check --max-tokens, the server's context length and its limits",
    "end": "one engine ended earlier: check end tokens and stop strings",
    "sampling": "one engine did not choose its most probable token: check its sampling defaults, such as penalties",
    "tie": "both continuations are about equally probable, so rounding decides: no setting changes this",
    "model": "the same tokens have different probabilities: check weights, quantization and precision",
    "unknown": "no log-probabilities are available",
}
"""The possible causes of a difference, in the order in which `cause` checks them."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where two texts diverge: they share the first `character` characters and the first `word` whole words.

    `before` is the end of the shared text, and `after` the continuation of each. `tokens` has the token of each engine
    at this position, with its log-probability. `drift` is the largest difference between the log-probabilities of the
    shared tokens. Both are None if an engine gives no log-probabilities, or if its tokens do not add up to its text.
    """

    character: int
    word: int
    before: str
    after: tuple[str, str]
    tokens: tuple[TokenLogprob | None, TokenLogprob | None] = (None, None)
    drift: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """The results of two engines for one request. `divergence` and `cause` are None if the texts are equal."""

    results: tuple[Result, Result]
    divergence: Divergence | None = None
    cause: Cause | None = None

    @property
    def equal(self) -> bool:
        return self.cause is None


@dataclass(frozen=True, slots=True)
class Compared:
    """The verdicts of two engines on one comparison, and the results of their requests."""

    verdicts: tuple[Verdict, Verdict]
    pairs: tuple[Pair, ...]

    @property
    def agree(self) -> bool:
        """Whether both verdicts have the same status, winner and scores.

        A failed call agrees with nothing, not even with another failed call.
        """
        one, other = self.verdicts
        failed = Status.FAILED in {vote.status for verdict in self.verdicts for vote in verdict.votes}
        same = (one.status, one.winner) == (other.status, other.winner)
        return not failed and same and _same_scores(one.scores, other.scores)


def _same_scores(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(math.isclose(a, b, rel_tol=0, abs_tol=SAME) for a, b in zip(one, other, strict=True))


class Compare:
    """`await compare(comparison)` judges with both engines. `model_of` makes the reward model that uses an engine.

    If the texts of a request differ, it is repeated with log-probabilities. An engine that refuses these is not asked
    for them again.
    """

    def __init__(self, model_of: Callable[[Engine], RewardModel], engines: tuple[Engine, Engine]) -> None:
        self.model_of = model_of
        self.engines = engines
        self.scored = _Scored(engines[0]), _Scored(engines[1])

    async def __call__(self, comparison: Comparison) -> Compared:
        one, other = (_Recorded(engine) for engine in self.engines)
        verdicts = await asyncio.gather(self.model_of(one)(comparison), self.model_of(other)(comparison))
        # Further requests of a judge may depend on earlier texts, so the engines may have received different requests.
        shared = [(*asked, other.asked[key][1]) for key, asked in one.asked.items() if key in other.asked]
        return Compared(verdicts, tuple([await self._pair(*results) for results in shared]))

    async def _pair(self, request: Request, one: Result, other: Result) -> Pair:
        if isinstance(one, EngineError) or isinstance(other, EngineError):
            return Pair((one, other), cause="failed")
        if one.text == other.text:
            return Pair((one, other))
        mine, theirs = self.scored
        logprobs = await mine(request, one.text), await theirs(request, other.text)
        divergence = diverge(one.text, other.text, logprobs)
        return Pair((one, other), divergence, cause(one, other, divergence))


class _Recorded(EngineWrapper):
    """An engine that records its requests and their results, by the `repr` of the request."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.asked: dict[str, tuple[Request, Result]] = {}

    async def complete(self, request: Request) -> Completion:
        key = repr(request)
        try:
            completion = await self.engine.complete(request)
        except EngineError as error:
            self.asked[key] = request, error
            raise
        self.asked[key] = request, completion
        return completion


class _Scored:
    """`await scored(request, text)`: the log-probabilities of that text, or None if the engine does not return them.

    Requests run one at a time, so that an engine refuses log-probabilities only once. None also if the engine writes
    another text this time.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.refused = False
        self.turn = asyncio.Lock()

    async def __call__(self, request: Request, text: str) -> Logprobs:
        async with self.turn:
            if self.refused:
                return None
            sampling = replace(request.sampling, logprobs=True)
            try:
                completion = await self.engine.complete(replace(request, sampling=sampling))
            except (EngineError, MissingLogprobsError):
                self.refused = True
                return None
        return completion.logprobs if completion.text == text else None


def diverge(one: str, other: str, logprobs: tuple[Logprobs, Logprobs] = (None, None)) -> Divergence:
    """Where two different texts diverge. `logprobs` has the log-probabilities of the tokens of each."""
    shorter = min(len(one), len(other))
    at = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), shorter)
    # If the divergence is inside a word, the shared beginning of that word is no whole word.
    inside = at > 0 and not one[at - 1].isspace() and (one[at : at + 1].strip() or other[at : at + 1].strip())
    mine, theirs = (_aligned(entries, text) for entries, text in zip(logprobs, (one, other), strict=True))
    return Divergence(
        character=at,
        word=len(one[:at].split()) - bool(inside),
        before=one[max(0, at - CONTEXT) : at],
        after=(one[at : at + CONTEXT], other[at : at + CONTEXT]),
        tokens=(_token_at(mine, at), _token_at(theirs, at)),
        drift=_drift(mine, theirs, at),
    )


def _aligned(logprobs: Logprobs, text: str) -> dict[int, TokenLogprob]:
    """The tokens by the index of their first character; empty if they do not add up to the text."""
    if logprobs is None or not "".join(entry.token for entry in logprobs).startswith(text):
        return {}
    ends = accumulate(len(entry.token) for entry in logprobs)
    return {end - len(entry.token): entry for end, entry in zip(ends, logprobs, strict=True) if entry.token}


def _token_at(tokens: Mapping[int, TokenLogprob], at: int) -> TokenLogprob | None:
    return next((entry for start, entry in tokens.items() if start <= at < start + len(entry.token)), None)


def _drift(one: Mapping[int, TokenLogprob], other: Mapping[int, TokenLogprob], at: int) -> float | None:
    shared = [start for start, entry in one.items() if start + len(entry.token) <= at and start in other]
    same = [start for start in shared if one[start].token == other[start].token]
    return max((abs(one[start].logprob - other[start].logprob) for start in same), default=None)


def cause(one: Completion, other: Completion, divergence: Divergence) -> Cause:
    """The likely cause why two texts differ: the first of `CAUSES` that fits."""
    prompts = {result.usage.prompt_tokens for result in (one, other)} - {0}
    if len(prompts) > 1:
        return "prompt"
    if bool(one.reasoning) != bool(other.reasoning):
        return "thinking"
    if one.text.split() == other.text.split():
        return "whitespace"
    if "" in divergence.after:
        shorter = one if not divergence.after[0] else other
        return "limit" if shorter.finish_reason == "length" else "end"
    mine, theirs = divergence.tokens
    if mine is None or theirs is None:
        return "unknown"
    if _passed_over(mine) or _passed_over(theirs):
        return "sampling"
    difference = max(abs(mine.logprob - theirs.logprob), divergence.drift or 0.0)
    # In a tie both engines have nearly the same distribution, in which the two tokens have at most probability 1
    # together. 0.99 for one and 0.99 for the other must come from different distributions.
    total = math.exp(mine.logprob) + math.exp(theirs.logprob)
    return "tie" if difference < CLOSE and total < 1 + CLOSE else "model"


def _passed_over(token: TokenLogprob) -> bool:
    """Whether the engine had a token of higher probability (by more than `SAME`) than the one it wrote."""
    return bool(token.top) and token.top[0][1] > token.logprob + SAME


# Rows and their summary -----------------------------------------------------------------------------------------------


async def write_compared(
    compare: Compare, comparisons: Iterable[Comparison], sink: BinaryIO, done: Callable[[], None]
) -> Tally:
    """Write one line of JSON per comparison, calling `done` after each, and return the tally."""
    tally = Tally()
    async with aclosing(judge_all(compare, comparisons)) as results:
        async for comparison, compared in results:
            sink.write(to_json(compared_row(comparison, compared)) + b"\n")
            tally.add(comparison, compared)
            done()
    return tally


def compared_row(comparison: Comparison, compared: Compared) -> dict[str, Any]:
    """A comparison as plain JSON. Lists of two have the first engine first. Texts are included only if they differ."""
    return {
        "id": comparison.id,
        "agree": compared.agree,
        "verdicts": [
            {"status": verdict.status, "winner": verdict.winner, "scores": verdict.scores}
            for verdict in compared.verdicts
        ],
        "texts": [_pair_row(pair) for pair in compared.pairs],
    }


def _pair_row(pair: Pair) -> dict[str, Any]:
    done = [result if isinstance(result, Completion) else None for result in pair.results]
    row = {
        "equal": pair.equal,
        "cause": pair.cause,
        "prompt_tokens": [result and _known(result.usage.prompt_tokens, result) for result in done],
        "completion_tokens": [result and _known(result.usage.completion_tokens, result) for result in done],
        "finish_reasons": [result and result.finish_reason for result in done],
    }
    if pair.equal:
        return row
    return row | {
        "divergence": asdict(pair.divergence) if pair.divergence else None,
        "texts": [result and result.text for result in done],
        "errors": [str(result) if isinstance(result, EngineError) else None for result in pair.results],
    }


def _known(tokens: int, result: Completion) -> int | None:
    """A token count, or None if the server did not report it."""
    return tokens or (None if result.usage.unknown_calls else 0)


@dataclass
class Tally:
    """Counts over comparisons and over their texts."""

    comparisons: int = 0
    agree: int = 0
    texts: int = 0
    equal: int = 0
    prompts: Counter[bool] = field(default_factory=Counter)
    """Whether prompts have the same number of tokens, counted over requests for which both engines report it."""
    causes: Counter[Cause] = field(default_factory=Counter)
    first: list[tuple[str, Pair]] = field(default_factory=list)
    """The first `MAX_FIRST` differing texts, with the ids of their comparisons."""

    def add(self, comparison: Comparison, compared: Compared) -> None:
        self.comparisons += 1
        self.agree += compared.agree
        for pair in compared.pairs:
            self._add(comparison.id, pair)

    def _add(self, id: str, pair: Pair) -> None:
        self.texts += 1
        self.equal += pair.equal
        read = [result.usage.prompt_tokens for result in pair.results if isinstance(result, Completion)]
        if len(read) == 2 and 0 not in read:
            self.prompts[read[0] == read[1]] += 1
        if pair.cause:
            self.causes[pair.cause] += 1
            if len(self.first) < MAX_FIRST:
                self.first.append((id, pair))

    def summary(self) -> dict[str, Any]:
        return {
            "comparisons": self.comparisons,
            "verdicts_equal": self.agree,
            "texts": self.texts,
            "texts_equal": self.equal,
            "prompts_compared": self.prompts.total(),
            "prompts_equal": self.prompts[True],
            "causes": dict(self.causes),
        }
