"""The same comparisons judged by two engines: whether the verdicts agree, and where the texts part and why.

    compare = Compare(lambda engine: Swapped(MixJudge(engine=engine)), (local, server))
    async for comparison, compared in judge_all(compare, comparisons):
        compared.agree, [pair.cause for pair in compared.pairs]

What a text is worth comparing for is greedy decoding: at a temperature above 0 two engines draw different random
numbers, and their texts say nothing about each other. `cause` is what the figures suggest, not a proof.
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
    IncompleteAnswerError,
    Request,
    TokenLogprob,
)
from fathom.judges import RewardModel, Verdict, judge_all
from fathom.rationale import Status

CONTEXT = 60
"""Characters shown before and after the place where two texts part."""

CLOSE = 0.1
"""Two log-probabilities (natural logarithm) within this are called close: a factor of 1.1 in probability."""

SAME = 1e-3
"""Scores, and log-probabilities of one engine, within this are equal: they differ in the last digits."""

MAX_FIRST = 5
"""Differing texts that a tally keeps, to be shown."""

Result = Completion | EngineError
Logprobs = tuple[TokenLogprob, ...] | None

Cause = Literal["failed", "prompt", "thinking", "whitespace", "limit", "end", "sampling", "tie", "model", "unknown"]

CAUSES: dict[Cause, str] = {
    "failed": "an engine gave no text",
    "prompt": "their prompts have different numbers of tokens: see the chat template, system message, begin token",
    "thinking": "one engine tells thinking from the answer and the other does not",
    "whitespace": "nothing but white space differs: see how each decodes tokens",
    "limit": "one met a token limit where the other went on: see --max-tokens, and the server's context and limits",
    "end": "one ended where the other went on: see the end tokens and stop strings",
    "sampling": "one wrote another token than its most probable one: see its sampling defaults, a repeat penalty say",
    "tie": "the two ways to go on are about equally probable, so that rounding decides: no setting changes that",
    "model": "the same tokens have other probabilities: see weights, quantisation, precision",
    "unknown": "no log-probabilities to tell why",
}


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where two texts part: both begin with the same `character` characters, and so with `word` whole words.

    `before` is the end of what they share, `after` how each goes on. `tokens` are what each wrote there, with its
    log-probability in its own engine; `drift` is the largest difference of the log-probabilities of the tokens before.
    Either is None where an engine gives none, or its tokens do not line up with its text.
    """

    character: int
    word: int
    before: str
    after: tuple[str, str]
    tokens: tuple[TokenLogprob | None, TokenLogprob | None] = (None, None)
    drift: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """What two engines made of one request. `divergence` and `cause` are None where the texts are equal."""

    results: tuple[Result, Result]
    divergence: Divergence | None = None
    cause: Cause | None = None

    @property
    def equal(self) -> bool:
        return self.cause is None


@dataclass(frozen=True, slots=True)
class Compared:
    verdicts: tuple[Verdict, Verdict]
    pairs: tuple[Pair, ...]

    @property
    def agree(self) -> bool:
        """Whether both have a verdict or a status that says what was unreadable, and it is the same.

        A failed call agrees with nothing, not even with another one.
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
    """`await compare(comparison)` judges with both engines. `voter_of` makes the judge that asks an engine.

    Requests whose texts differ are asked once more, for log-probabilities. An engine that refuses to give any is not
    asked for them again.
    """

    def __init__(self, voter_of: Callable[[Engine], RewardModel], engines: tuple[Engine, Engine]) -> None:
        self.voter_of = voter_of
        self.engines = engines
        self.scored = _Scored(engines[0]), _Scored(engines[1])

    async def __call__(self, comparison: Comparison) -> Compared:
        one, other = (_Heard(engine) for engine in self.engines)
        found = await asyncio.gather(self.voter_of(one)(comparison), self.voter_of(other)(comparison))
        # A judge that asks again, depending on what it read, may ask one engine what it does not ask the other.
        shared = [(*told, other.asked[key][1]) for key, told in one.asked.items() if key in other.asked]
        return Compared(found, tuple([await self._pair(*told) for told in shared]))

    async def _pair(self, request: Request, one: Result, other: Result) -> Pair:
        if isinstance(one, EngineError) or isinstance(other, EngineError):
            return Pair((one, other), cause="failed")
        if one.text == other.text:
            return Pair((one, other))
        mine, theirs = self.scored
        told = await mine(request, one.text), await theirs(request, other.text)
        divergence = diverge(one.text, other.text, told)
        return Pair((one, other), divergence, cause(one, other, divergence))


class _Heard(EngineWrapper):
    """An engine that keeps what it was asked, and what it made of that, by the request's own text."""

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
    """`await scored(request, text)`: the log-probabilities of that text, or None where the engine does not tell them.

    One request at a time, so that an engine that refuses them does so once. None also where the engine, asked again,
    writes something else.
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
            except (EngineError, IncompleteAnswerError):
                self.refused = True
                return None
        return completion.logprobs if completion.text == text else None


def diverge(one: str, other: str, logprobs: tuple[Logprobs, Logprobs] = (None, None)) -> Divergence:
    """Where two different texts part. `logprobs` are those of their tokens."""
    shorter = min(len(one), len(other))
    at = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), shorter)
    inside = at > 0 and not one[at - 1].isspace() and (one[at : at + 1].strip() or other[at : at + 1].strip())
    mine, theirs = (_aligned(told, text) for told, text in zip(logprobs, (one, other), strict=True))
    return Divergence(
        character=at,
        word=len(one[:at].split()) - bool(inside),
        before=one[max(0, at - CONTEXT) : at],
        after=(one[at : at + CONTEXT], other[at : at + CONTEXT]),
        tokens=(_token_at(mine, at), _token_at(theirs, at)),
        drift=_drift(mine, theirs, at),
    )


def _aligned(logprobs: Logprobs, text: str) -> dict[int, TokenLogprob]:
    """The tokens by the character at which each begins; none where they do not make up the text."""
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
    """Why two texts differ, as far as the figures tell: the first of `CAUSES`, in their order, that fits."""
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
    apart = max(abs(mine.logprob - theirs.logprob), divergence.drift or 0.0)
    # Two tokens of one distribution share its mass: 0.99 for one and 0.99 for the other are of two.
    together = math.exp(mine.logprob) + math.exp(theirs.logprob)
    return "tie" if apart < CLOSE and together < 1 + CLOSE else "model"


def _passed_over(token: TokenLogprob) -> bool:
    """Whether a token was written although its engine tells of a more probable one, not just in the last digits."""
    return bool(token.top) and token.top[0][1] > token.logprob + SAME


# Rows and what they amount to -----------------------------------------------------------------------------------------


async def write_compared(
    compare: Compare, comparisons: Iterable[Comparison], sink: BinaryIO, done: Callable[[], None]
) -> Tally:
    """Writes a line of JSON a comparison and returns what they amount to; calls `done` after each."""
    tally = Tally()
    async with aclosing(judge_all(compare, comparisons)) as results:
        async for comparison, compared in results:
            sink.write(to_json(compared_row(comparison, compared)) + b"\n")
            tally.add(comparison, compared)
            done()
    return tally


def compared_row(comparison: Comparison, compared: Compared) -> dict[str, Any]:
    """Plain JSON. In every list of two, the first engine comes first. Texts stand in it only where they differ."""
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
    told = {
        "equal": pair.equal,
        "cause": pair.cause,
        "prompt_tokens": [result and _known(result.usage.prompt_tokens, result) for result in done],
        "completion_tokens": [result and _known(result.usage.completion_tokens, result) for result in done],
        "finish_reasons": [result and result.finish_reason for result in done],
    }
    if pair.equal:
        return told
    return told | {
        "divergence": asdict(pair.divergence) if pair.divergence else None,
        "texts": [result and result.text for result in done],
        "errors": [str(result) if isinstance(result, EngineError) else None for result in pair.results],
    }


def _known(tokens: int, result: Completion) -> int | None:
    """A count of tokens; None where the server did not report it."""
    return tokens or (None if result.usage.unknown_calls else 0)


@dataclass
class Tally:
    """Counts over comparisons, and over the texts that were written for them."""

    comparisons: int = 0
    agree: int = 0
    texts: int = 0
    equal: int = 0
    prompts: Counter[bool] = field(default_factory=Counter)
    """How often prompts had equally many tokens, of those where both engines count them."""
    causes: Counter[Cause] = field(default_factory=Counter)
    first: list[tuple[str, Pair]] = field(default_factory=list)
    """The first `MAX_FIRST` texts that differ, with the ids of their comparisons."""

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
