"""What the workers of a run share: the budget, how far they are, why the run stops, and what ends a worker.

It is a plain object; `fathom.scale.pool` makes it a Ray actor. It lives as long as the run.

After the workers of a shard died `TRIES` times, the next ones take one comparison of it at a time. The ledger then
knows which one a worker had begun when it died, and the next worker sets that one aside.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import reduce
from typing import NamedTuple

from fathom.scale.budget import Amount, Budget
from fathom.scale.plan import Settled
from fathom.settings import BoundSettings

TRIES = 3
Place = tuple[str, int]
"""A plan's identity and a shard of it, because the benchmarks of a run share one ledger."""


class Attempt(NamedTuple):
    """How a worker takes a shard."""

    alone: bool
    """Whether one comparison at a time."""
    killers: frozenset[int]
    """Positions of comparisons that ended their worker."""
    stop: str | None
    """Why the run stops, if it does: the shard is then left alone."""


class Progress(NamedTuple):
    """How far the workers are with a plan."""

    begun: int
    """Shards."""
    settled: Settled


class Ledger:
    """Its methods are called by one worker at a time."""

    def __init__(self, bounds: BoundSettings) -> None:
        self._budget = Budget(bounds.max_total_tokens, bounds.max_cost)
        self._attempts: Counter[Place] = Counter()
        self._begun: dict[Place, int] = {}
        self._killers: defaultdict[Place, set[int]] = defaultdict(set)
        self._stop: str | None = None
        self._settled: dict[Place, Settled] = {}

    def begin(self, shard: Place) -> Attempt:
        """Called by a worker before it begins a shard. A second call means that the first worker died."""
        self._attempts[shard] += 1
        self._settled[shard] = Settled()
        if shard in self._begun:
            self._killers[shard].add(self._begun.pop(shard))
        return Attempt(self._attempts[shard] > TRIES, frozenset(self._killers[shard]), self._stop)

    def announce(self, shard: Place, position: int) -> None:
        """Called before each comparison that is taken alone."""
        self._begun[shard] = position

    def end(self, shard: Place) -> None:
        self._begun.pop(shard, None)

    def settle(self, shard: Place, settled: Settled) -> None:
        """Called by a worker from time to time, with all that it settled of its shard."""
        self._settled[shard] = Settled(*settled)

    def progress(self, plan: str) -> Progress:
        """How far the workers are with the plan of this identity."""
        of_plan = [settled for (identity, _), settled in self._settled.items() if identity == plan]
        return Progress(len(of_plan), reduce(Settled.plus, of_plan, Settled()))

    def stop(self, reason: str) -> None:
        """End the run: workers begin no further shard."""
        self._stop = self._stop or reason

    def lend(self, call: Amount) -> Amount | None:
        return None if self._stop else self._budget.lend(Amount(*call))

    def give_back(self, amount: Amount) -> None:
        self._budget.give_back(Amount(*amount))

    def bound(self) -> str:
        return str(self._budget)
