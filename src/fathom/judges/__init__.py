"""A judge is two pure functions: `ask` makes a prompt of a comparison, `read` makes a vote of a completion.

Training uses the same two (`ask` makes the training prompt, `read` the reward), so a model is trained on exactly the
text it is later asked, and rewarded by exactly the reader that later reads it.

A new judge is one file here with a subclass of `Judge` named `JUDGE`, a template in `prompts/` and a test; the file's
name is how the command line finds it.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from fathom.engines import ChatMessage, Engine, EngineError, Request, Sampling
from fathom.rationale import Status
from fathom.records import Comparison
from fathom.verdict import Verdict, Vote, majority

Result = TypeVar("Result")

MOST_KEPT = 8192
"""Verdicts, finished or not, that wait for an earlier one to be yielded: some 50 MB of usual rationales."""


class Voter(ABC):
    """What judges by votes: a `Judge`, or one wrapped by `fathom.scaling`. `verdict = await voter(comparison)`."""

    @abstractmethod
    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        """The votes on a comparison. Another `sample` gives other random draws, the same one the same."""

    async def __call__(self, comparison: Comparison) -> Verdict:
        return majority(await self.votes(comparison))


@dataclass(frozen=True, kw_only=True)
class Judge(Voter):
    """Subclasses write `ask` and `read`; with an engine it casts one vote."""

    engine: Engine | None = None
    sampling: Sampling = field(default_factory=Sampling)

    @abstractmethod
    def ask(self, comparison: Comparison) -> list[ChatMessage]:
        """The prompt. Never depends on the comparison's label."""

    @abstractmethod
    def read(self, text: str, comparison: Comparison, *, finished: bool = True) -> Vote:
        """The vote that a completion casts. `finished` is False when the engine cut the text off at its token limit."""

    async def vote(self, comparison: Comparison, sample: int = 0) -> Vote:
        """One sampled vote. An engine's failure is a vote with status `FAILED` that says why, never an exception."""
        order = tuple(range(len(comparison.responses)))
        if self.engine is None:
            raise ValueError(f"{type(self).__name__} has no engine to ask; make it with engine=...")
        try:
            completion = await self.engine.complete(Request(tuple(self.ask(comparison)), self.sampling, sample))
        except EngineError as error:
            return Vote(Status.FAILED, order=order, error=str(error))
        vote = self.read(completion.text, comparison, finished=completion.finish_reason == "stop")
        return replace(
            vote,
            order=order,
            usage=completion.usage,
            reasoning=completion.reasoning,
            extended_to=completion.extended_to,
        )

    async def votes(self, comparison: Comparison, sample: int = 0) -> list[Vote]:
        return [await self.vote(comparison, sample)]


async def verdicts(
    judge: Callable[[Comparison], Awaitable[Result]], comparisons: Iterable[Comparison], *, concurrency: int = 64
) -> AsyncGenerator[tuple[Comparison, Result], None]:
    """Judges with up to `concurrency` comparisons in flight; yields in the order of input.

    `judge` is a `Voter`, or anything else that is awaited for what it makes of a comparison, such as its ranking.
    One that takes long holds up what is yielded, but not the others, until `MOST_KEPT` of them wait behind it.
    """
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
        for _, task in kept:
            task.cancel()
        # They end here, and not after the engine that they use was closed.
        await asyncio.gather(*(task for _, task in kept), return_exceptions=True)


def find(name: str) -> type[Judge]:
    """The judge in the file of that name. Raises ValueError that lists the judges there are."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if name not in names:
        raise ValueError(f"there is no judge {name!r}; there are: {', '.join(names)}")
    judge: type[Judge] = importlib.import_module(f"{__name__}.{name}").JUDGE
    return judge
