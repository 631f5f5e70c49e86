"""Rollouts: completions of a prefix of a solution, checked against the reference answer.

    rollouts = Rollouts(cached_engine, Sampling(temperature=0.7), check)
    estimate = await rollouts.of(solution, steps=2, count=8)
    estimate.count                          # Count(right=3, read=8), or None if most could not be read
    rollouts.cost                           # the distinct completions and their tokens

Every labeler that samples uses this component, with an engine that stores completions (`CachedEngine`): a prefix that
several solutions share is completed once, and an interrupted run repeats only the calls that were in flight.

A rollout has one of four statuses. Only right and wrong ones count: a text that was cut off at its token limit or has
no readable answer is `unreadable`, and a failed call is `failed`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from fathom.data.records import Comparison
from fathom.engines import Completion, Engine, EngineError, Request, Sampling
from fathom.engines.cache import request_key
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judges import bounded_gather
from fathom.labelers._answers import Checker
from fathom.labelers._solutions import Solution, messages_of, reference_of
from fathom.metrics.intervals import wilson
from fathom.settings import LabelSettings


class RejectedError(Exception):
    """A solution that gets no labels. `failed`: because a call failed, so that another run may label it."""

    def __init__(self, reason: str, detail: str = "", *, failed: bool = False) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.failed = failed


class RolloutStatus(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    UNREADABLE = "unreadable"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Rollout:
    """A completion of a prefix. `text` excludes the prefix."""

    text: str
    status: RolloutStatus


class Count(NamedTuple):
    """How many rollouts of a prefix are right, and how many are right or wrong."""

    right: int
    read: int

    @property
    def share(self) -> float:
        """The estimate of the probability that a rollout is right, 0 to 1."""
        return self.right / self.read

    @property
    def precision(self) -> float:
        """1 minus the width of Wilson's 95 % interval of that probability, 0 to 1."""
        interval = wilson(self.right, self.read)
        assert interval is not None
        return 1 - (interval.high - interval.low)


@dataclass(frozen=True)
class Estimate:
    """The rollouts of one prefix."""

    rollouts: tuple[Rollout, ...]

    @property
    def count(self) -> Count | None:
        """The counts of right rollouts and of those that could be read.

        None if less than half could be read: a few readable ones may be a biased sample, such as the short ones.
        """
        statuses = Counter(rollout.status for rollout in self.rollouts)
        right = statuses[RolloutStatus.RIGHT]
        read = right + statuses[RolloutStatus.WRONG]
        return Count(right, read) if read and 2 * read >= len(self.rollouts) else None


@dataclass
class Cost:
    """The distinct completions that labels were made of, whether new or from the journal."""

    completions: int = 0
    usage: Usage = field(default_factory=Usage)
    statuses: Counter[str] = field(default_factory=Counter)
    """The number of rollouts of each `RolloutStatus`, and of votes, as "judge: STATUS"."""

    def add(self, usage: Usage, status: str) -> None:
        self.completions += 1
        self.usage += usage
        self.statuses[status] += 1

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.completions + other.completions, self.usage + other.usage, self.statuses + other.statuses)

    def as_row(self) -> dict[str, Any]:
        """The counts as plain JSON."""
        tokens = {"prompt_tokens": self.usage.prompt_tokens, "completion_tokens": self.usage.completion_tokens}
        return {"completions": self.completions, **tokens, "answers": dict(sorted(self.statuses.items()))}


class Rollouts:
    """Completes prefixes with `engine`, which must continue a prefix, and checks the answers. Adds to `cost`."""

    def __init__(
        self,
        engine: Engine,
        sampling: Sampling,
        check: Checker,
        *,
        instruction: str = LabelSettings().instruction,
        cost: Cost | None = None,
    ) -> None:
        self.engine = engine
        self.sampling = sampling
        self.check = check
        self.instruction = instruction
        self.cost = Cost() if cost is None else cost
        self._counted: set[int] = set()
        """Hashes of the keys of counted requests; keys themselves would take 100 MB per million."""

    async def of(self, solution: Solution, steps: int, count: int) -> Estimate:
        """`count` rollouts from the first `steps` steps of a solution; from the bare problem for 0.

        Samples are numbered, so a larger count contains the rollouts of a smaller one. Raises RejectedError if a call
        failed, and FathomError for a problem without a reference, or for several rollouts at temperature 0.
        """
        return await self.after(solution.comparison, solution.prefix(steps), count)

    async def after(self, problem: Comparison, prefix: str, count: int) -> Estimate:
        """`count` rollouts of a problem from a prefix of its answer. Raises as `of` does."""
        reference = reference_of(problem)
        if self.sampling.temperature == 0 and count > 1:
            raise FathomError(
                "got temperature 0, at which all rollouts of a prefix are the same text; expected a temperature above "
                "0, such as --temperature 0.7"
            )

        async def one(sample: int) -> Rollout:
            return await self._once(self.request(problem, prefix, sample), reference)

        rollouts = tuple(await bounded_gather(one, range(count)))
        failed = next((rollout for rollout in rollouts if rollout.status is RolloutStatus.FAILED), None)
        if failed is not None:
            raise RejectedError("a call failed", failed.text, failed=True)
        return Estimate(rollouts)

    async def outcome(self, solution: Solution) -> bool | None:
        """Whether the solution's own final answer is right; None if it cannot be read."""
        return await asyncio.to_thread(self.check, solution.text, solution.reference)

    def request(self, problem: Comparison, prefix: str, sample: int) -> Request:
        """The request for one rollout."""
        return Request(messages_of(problem, self.instruction), self.sampling, sample, prefix)

    async def _once(self, request: Request, reference: str) -> Rollout:
        try:
            completion = await self.engine.complete(request)
        except EngineError as error:
            self._spent(request, error.usage, RolloutStatus.FAILED)
            return Rollout(str(error), RolloutStatus.FAILED)
        status = await self._status(completion, request.prefix, reference)
        self._spent(request, completion.usage, status)
        return Rollout(completion.text, status)

    async def _status(self, completion: Completion, prefix: str, reference: str) -> RolloutStatus:
        if completion.finish_reason != "stop":
            return RolloutStatus.UNREADABLE
        right = await asyncio.to_thread(self.check, prefix + completion.text, reference)
        if right is None:
            return RolloutStatus.UNREADABLE
        return RolloutStatus.RIGHT if right else RolloutStatus.WRONG

    def _spent(self, request: Request, usage: Usage, status: RolloutStatus) -> None:
        """Count a completion, unless it was counted before: solutions of a problem share prefixes."""
        key = hash(request_key(self.engine.identity, request))
        if key not in self._counted:
            self._counted.add(key)
            self.cost.add(usage, str(status))


def requests(rollouts: Rollouts, solution: Solution, steps: Sequence[int], count: int) -> list[Request]:
    """The requests for `count` rollouts from each prefix of these lengths, for dry runs."""
    return [
        rollouts.request(solution.comparison, solution.prefix(length), sample)
        for length in steps
        for sample in range(count)
    ]
