"""A judge is two pure functions: `ask` makes a prompt of a comparison, `read` makes a vote of a completion.

Training uses the same two (`ask` makes the training prompt, `read` the reward), so a model is trained on exactly the
text it is later asked, and rewarded by exactly the reader that later reads it.

A new judge is one file here with a subclass of `Judge` named `JUDGE`, a template in `prompts/` and a test; the file's
name is how the command line finds it.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from statistics import fmean
from threading import Thread
from typing import Any, ClassVar, Literal, TypeVar

from fathom.data.records import Comparison
from fathom.engines import ChatMessage, Completion, Engine, EngineError, Request, Sampling
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges._degenerate import degenerate, holds
from fathom.judges._probabilities import Choices, chances
from fathom.judges._rewards import difference_advantages, solving_reward, strength_reward, verdict_reward
from fathom.judges._verdict import Rule, Verdict, Vote, highest
from fathom.plugins import Kind
from fathom.rationale import Status

__all__ = [
    "DEFAULT_RULES",
    "JUDGES",
    "Judge",
    "Order",
    "Pattern",
    "Rule",
    "Verdict",
    "Vote",
    "Voter",
    "degenerate",
    "difference_advantages",
    "failed",
    "find",
    "highest",
    "holds",
    "side_by_side",
    "solving_reward",
    "strength_reward",
    "verdict_reward",
    "verdicts",
]

Item = TypeVar("Item")
Result = TypeVar("Result")
Waited = TypeVar("Waited")

Pattern = Literal["pointwise", "pairwise", "listwise"]
"""How many responses one prompt shows: one, two, or any number."""
Order = Literal["input", "completion"]
"""In which results come: that of their comparisons, or as they are ready."""

DEFAULT_RULES: Mapping[Pattern, Rule] = {
    "pointwise": Rule(aggregate="mean"),
    "listwise": Rule(aggregate="sum"),
    "pairwise": Rule(aggregate="majority"),
}
"""How votes become a verdict unless the judge says otherwise: ratings of a response are averaged, points that one text
gives to all responses are added up, and winners are counted."""
MOST_KEPT = 8192
"""Verdicts, finished or not, that wait for an earlier one to be yielded: some 50 MB of usual rationales."""


class Voter(ABC):
    """What judges by votes: a `Judge`, or one wrapped by `fathom.voting`. `verdict = await voter(comparison)`."""

    @property
    def pattern(self) -> Pattern:
        return "pairwise"

    @property
    def rule(self) -> Rule:
        """How its votes become a verdict."""
        return DEFAULT_RULES[self.pattern]

    @property
    def threshold(self) -> float | None:
        """The lowest score at which it calls a single response right; a lower one calls it wrong.

        None where its scores only say which response is better.
        """
        return None

    @abstractmethod
    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        """The votes on a comparison. Another `sample` gives other random draws, the same one the same."""

    async def __call__(self, comparison: Comparison) -> Verdict:
        """Raises FathomError for votes without the scores or probabilities that the rule counts."""
        votes = await self.votes(comparison)
        try:
            return self.verdict(votes)
        except ValueError as error:
            raise FathomError(
                f"comparison {comparison.id!r}: {error}; the aggregate 'majority' needs neither"
            ) from error

    def verdict(self, votes: Sequence[Vote]) -> Verdict:
        """The verdict on one comparison by this voter's rule and threshold. Raises ValueError, as `Rule` does."""
        return self.rule(votes, threshold=self.threshold)

    def run(
        self, comparisons: Iterable[Comparison], *, concurrency: int = 64, order: Order = "input"
    ) -> Iterator[tuple[Comparison, Verdict]]:
        """Judges from code that is not asynchronous, also in a notebook: `for comparison, verdict in judge.run(...)`.

        Verdicts come while others are still being made. To leave the loop early cancels what is in flight. A journal
        goes around the loop: `with CachedEngine(engine, "run.journal") as cached: ...`.
        """
        return _iterated(verdicts(self, comparisons, concurrency=concurrency, order=order))


@dataclass(frozen=True, kw_only=True)
class Judge(Voter):
    """Subclasses write `ask` and `read`, and say how many responses `ask` takes; with an engine it casts one vote."""

    engine: Engine | None = None
    sampling: Sampling = field(default_factory=Sampling)
    rubric: str | None = None
    """Criteria to judge by, in the user's own words; they go before the prompt of `ask`."""
    pattern: ClassVar[Pattern] = "pairwise"
    threshold: ClassVar[float | None] = None
    gives_scores: ClassVar[bool] = True
    """False where its votes name a winner alone, so that there is nothing for sums and means to count."""
    choices: ClassVar[Choices] = {"A": 0, "B": 1, "C": None, "tie": None, "Tie": None}
    """How it spells its verdicts, for the probabilities of a vote: choices, and the response that each names."""

    @abstractmethod
    def ask(self, comparison: Comparison) -> list[ChatMessage]:
        """The prompt. Never depends on the comparison's label."""

    def prompt(self, comparison: Comparison) -> list[ChatMessage]:
        """The messages that the engine gets: those of `ask`, with the rubric at the beginning where there is one."""
        messages = self.ask(comparison)
        if not self.rubric:
            return messages
        # First, because a prompt ends with the format of the verdict, and so that all rows share the prefix.
        first = f"Judge by these criteria and by no others:\n\n{self.rubric.strip()}\n\n{messages[0]['content']}"
        return [{**messages[0], "content": first}, *messages[1:]]

    @abstractmethod
    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The vote that a completion casts. `finished` is False when the engine cut the text off at its token limit."""

    def reward(self, vote: Vote, comparison: Comparison) -> float:
        """What reinforcement learning pays for the vote, given the comparison's label: +1 or -1, unless overridden."""
        if comparison.label is None:
            raise ValueError(f"comparison {comparison.id!r} has no label to reward a verdict by")
        return verdict_reward(vote, comparison.label)

    async def vote(self, comparison: Comparison, sample: int = 0) -> Vote:
        """One sampled vote. An engine's failure is a vote with status `FAILED` that says why, never an exception."""
        self.check(comparison)
        order = tuple(range(len(comparison.responses)))
        if self.engine is None:
            raise ValueError(f"{type(self).__name__} has no engine to ask; make it with engine=...")
        try:
            completion = await self.engine.complete(Request(tuple(self.prompt(comparison)), self.sampling, sample))
        except EngineError as error:
            return replace(failed(error), order=order)
        return replace(self.read_completion(completion, comparison), order=order)

    def read_completion(self, completion: Completion, comparison: Comparison) -> Vote:
        """What `read` makes of the text, with what the engine says beside it.

        A text that the model or its service declined to write is refused, whatever its words are.
        """
        read = partial(self.read, comparison=comparison, finished=completion.finish_reason == "stop")
        declined = completion.finish_reason in ("refusal", "content_filter")
        vote = _declined(completion) if declined else read(completion.text)
        if self.sampling.top_logprobs and vote.status is Status.OK:
            vote = self._with_probabilities(vote, completion, read, len(comparison.responses))
        return replace(
            vote,
            order=vote.order or tuple(range(len(comparison.responses))),
            usage=completion.usage,
            reasoning=completion.reasoning or vote.reasoning,
            extended_to=completion.extended_to,
        )

    def _with_probabilities(self, vote: Vote, completion: Completion, read: Callable[[str], Vote], count: int) -> Vote:
        """The vote, with an error where it has no probabilities."""
        if not any(token.top for token in completion.logprobs or ()):
            return replace(vote, error="no probabilities: the engine returned no likely tokens")
        choices = {choice: index for choice, index in self.choices.items() if index is None or index < count}
        found = chances(completion.logprobs or (), completion.text, choices, vote, read, stops=self.sampling.stop)
        error = None if found else "no probabilities: no one token could be told to be the verdict's"
        return replace(vote, probabilities=found, error=error)

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        if self.pattern == "pointwise" and len(comparison.responses) > 1:
            alone = (comparison.of((i,)) for i in range(len(comparison.responses)))
            return [side_by_side(await asyncio.gather(*(self.vote(each, sample) for each in alone)))]
        return [await self.vote(comparison, sample)]

    def check(self, comparison: Comparison) -> None:
        """Raises FathomError for a comparison with another number of responses than the prompt shows."""
        count, takes = len(comparison.responses), {"pointwise": 1, "pairwise": 2}.get(self.pattern)
        if takes is not None and count != takes:
            raise FathomError(
                f"{type(self).__name__} judges {takes} at a time; comparison {comparison.id!r} has {count} "
                + ("response" if count == 1 else "responses")
                + (" (fathom rank compares more than 2)" if takes == 2 and count > 2 else "")
                + (" (libra, verifier, yes_no and spct, say, judge a single one)" if count == 1 else "")
            )


def _declined(completion: Completion) -> Vote:
    who = "the model declined" if completion.finish_reason == "refusal" else "the service filtered the content"
    said = f": {completion.text[:300]}" if completion.text else ""
    return Vote(Status.REFUSED, text=completion.text, error=f"{who}{said}")


def failed(error: EngineError) -> Vote:
    """The vote of a call that failed. Nothing is read from what was written before."""
    written = error.written or Completion("")
    return Vote(
        Status.FAILED,
        text=written.text,
        usage=error.usage,
        error=str(error),
        reasoning=written.reasoning,
        extended_to=written.extended_to,
    )


def side_by_side(votes: Sequence[Vote]) -> Vote:
    """One vote on n responses, of the votes that a pointwise judge cast on each alone: their scores side by side.

    It can be read where each of them can; else it has the status of the first that cannot, and its error names those.
    The best score wins. The votes themselves are its `parts`, also those that can be read where others cannot.
    """
    masses = [vote.missing_mass for vote in votes if vote.missing_mass is not None]
    together = Vote(
        Status.OK,
        order=tuple(range(len(votes))),
        text="\n\n".join(vote.text for vote in votes),
        usage=sum((vote.usage for vote in votes), Usage()),
        extended_to=max((vote.extended_to for vote in votes if vote.extended_to is not None), default=None),
        missing_mass=fmean(masses) if masses else None,
        parts=tuple(votes),
    )
    unreadable = [place for place, vote in enumerate(votes) if vote.status is not Status.OK]
    if unreadable:
        first = votes[unreadable[0]]
        named = f"of {len(votes)} responses, not readable: {', '.join(str(place + 1) for place in unreadable)}"
        return replace(together, status=first.status, error=f"{named} ({first.error or first.status})")
    scores = tuple(score for vote in votes for score in vote.scores or ())
    if len(scores) != len(votes):
        raise ValueError("a pointwise judge gives the one response of a comparison one score")
    return replace(together, winner=highest(scores), scores=scores)


async def verdicts(
    judge: Callable[[Comparison], Awaitable[Result]],
    comparisons: Iterable[Comparison],
    *,
    concurrency: int = 64,
    order: Order = "input",
) -> AsyncGenerator[tuple[Comparison, Result], None]:
    """Judges with up to `concurrency` comparisons in flight.

    `judge` is a `Voter`, or anything else that is awaited for what it makes of a comparison, such as its ranking.
    In the order of input, one that takes long holds up what is yielded, but not the others, until `MOST_KEPT` of them
    wait behind it.
    """
    if order == "completion":
        async with aclosing(_as_completed(judge, comparisons, concurrency)) as results:
            async for result in results:
                yield result
        return
    free = asyncio.Semaphore(concurrency)
    kept: deque[tuple[Comparison, asyncio.Task[Result]]] = deque()
    try:
        for comparison in comparisons:
            await free.acquire()
            task = asyncio.ensure_future(judge(comparison))
            task.add_done_callback(lambda _: free.release())
            kept.append((comparison, task))
            while kept and (kept[0][1].done() or len(kept) > max(MOST_KEPT, concurrency)):
                done, first = kept.popleft()
                yield done, await first
        while kept:
            done, first = kept.popleft()
            yield done, await first
    finally:
        await _cancelled([task for _, task in kept])


async def _as_completed(
    judge: Callable[[Comparison], Awaitable[Result]], comparisons: Iterable[Comparison], concurrency: int
) -> AsyncGenerator[tuple[Comparison, Result], None]:
    async def judged(comparison: Comparison) -> tuple[Comparison, Result]:
        return comparison, await judge(comparison)

    waiting = iter(comparisons)
    flying = {asyncio.ensure_future(judged(comparison)) for comparison in islice(waiting, concurrency)}
    try:
        while flying:
            finished, flying = await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
            flying |= {asyncio.ensure_future(judged(comparison)) for comparison in islice(waiting, len(finished))}
            for task in finished:
                yield task.result()
    finally:
        await _cancelled(flying)


async def _cancelled(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    # They end here, and not after the engine that they use was closed.
    await asyncio.gather(*tasks, return_exceptions=True)


def _iterated(results: AsyncGenerator[Item, None]) -> Generator[Item, None, None]:
    """Drives `results` in a thread of its own, because the caller's may already run an event loop."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="judging", daemon=True)
    thread.start()

    def waited(awaitable: Coroutine[Any, Any, Waited]) -> Waited:
        return asyncio.run_coroutine_threadsafe(awaitable, loop).result()

    async def following() -> Item | None:
        return await anext(results, None)

    try:
        while (item := waited(following())) is not None:
            yield item
    finally:
        waited(_ended(results))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _ended(results: AsyncGenerator[Item, None]) -> None:
    """Leaves nothing behind in the loop, as `asyncio.run` does not: no call that a journal waits for, no connection."""
    await results.aclose()
    await _cancelled(asyncio.all_tasks() - {asyncio.current_task()})
    await asyncio.get_running_loop().shutdown_asyncgens()


JUDGES = Kind("judge", package=__name__, group="fathom.judges", attribute="JUDGE")


def find(name: str, *, installed: bool = False) -> type[Judge]:
    """The class of a judge: a file in this package, an entry point in `fathom.judges`, FILE.py or MODULE:NAME.

    With `installed`, code outside the installed packages is refused. Raises FathomError for a name that stands for no
    judge, with the names of all judges.
    """
    judge = JUDGES.find(name, installed=installed)
    if not (isinstance(judge, type) and issubclass(judge, Judge)):
        raise FathomError(f"the judge {name!r} is {judge!r}, expected a subclass of fathom.Judge")
    return judge
