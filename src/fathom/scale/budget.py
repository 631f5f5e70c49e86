"""One budget for many workers: it lends tokens and US dollars in small amounts.

    budget = Budget(max_tokens=1_000_000)              # one, wherever the workers reach it
    meter = Borrower(lend, price)                      # one per worker; `lend` calls `budget.lend`
    session.metered.report_calls_to(meter)

A worker makes a call only if what it has borrowed covers all its calls in flight and one more, each as large as the
largest so far (as `fathom.engines.metering.Metered` does for one process). So all workers together exceed the bound by
no more than their calls in flight exceed their largest before. What a worker had borrowed when it died counts as spent.
The run stops when the rest cannot be lent any more, so up to what is lent and not used remains unspent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from fathom.engines import AnyRequest, NullMeter
from fathom.engines.metering import Price, SpentError, estimate
from fathom.engines.usage import Usage

CALLS_PER_LOAN = 16
"""A loan covers this many calls, so that a worker rarely waits for one."""
SMALLEST_SHARE = 64
"""Near the bound a loan is at most this fraction of the rest, so that no worker holds what others could use."""


class Amount(NamedTuple):
    """Tokens, and US dollars."""

    tokens: int = 0
    cost: float = 0.0

    def plus(self, other: Amount, times: int = 1) -> Amount:
        return Amount(self.tokens + times * other.tokens, self.cost + times * other.cost)

    def within(self, other: Amount) -> bool:
        return self.tokens <= other.tokens and self.cost <= other.cost


class Budget:
    """What a run may spend, at most `max_tokens` and `max_cost` dollars; None is no bound."""

    def __init__(self, max_tokens: int | None = None, max_cost: float | None = None) -> None:
        self.max_tokens, self.max_cost = max_tokens, max_cost
        self.lent = Amount()
        """What is lent or spent."""

    def lend(self, call: Amount) -> Amount | None:
        """Lend several times the size of a call, and at least that of one; None if the rest is smaller."""
        if not self.lent.plus(call).within(self._limit):
            return None
        loan = call.plus(call, self._further(call))
        self.lent = self.lent.plus(loan)
        return loan

    def _further(self, call: Amount) -> int:
        """How many further calls to lend."""
        rest = [CALLS_PER_LOAN - 1.0]
        if self.max_tokens is not None and call.tokens:
            rest.append((self.max_tokens - self.lent.tokens) / SMALLEST_SHARE / call.tokens - 1)
        if self.max_cost is not None and call.cost:
            rest.append((self.max_cost - self.lent.cost) / SMALLEST_SHARE / call.cost - 1)
        return max(0, int(min(rest)))

    def give_back(self, amount: Amount) -> None:
        self.lent = self.lent.plus(amount, -1)

    @property
    def _limit(self) -> Amount:
        infinite = float("inf")
        tokens = self.max_tokens if self.max_tokens is not None else 2**63
        return Amount(tokens, infinite if self.max_cost is None else self.max_cost)

    def __str__(self) -> str:
        """`1,000 tokens` or `$5.00`."""
        if self.max_cost is not None:
            return f"${self.max_cost:.2f}"
        return f"{self.max_tokens:,} tokens" if self.max_tokens is not None else "no bound"


class Borrower(NullMeter):
    """The meter of a worker under a shared budget. Use one per event loop.

    `lend` is `Budget.lend`, wherever the budget is. Raises SpentError from `admit` if nothing more is lent.
    """

    def __init__(
        self,
        lend: Callable[[Amount], Awaitable[Amount | None]],
        price: Price | None = None,
        largest: Amount | None = None,
    ) -> None:
        self.lend, self.price = lend, price
        self.borrowed = self.spent = Amount()
        self.largest = largest
        """The size of the largest call so far; None before the first one has ended."""
        self.in_flight = 0
        self._turn = asyncio.Lock()
        self._ended = asyncio.Event()

    @property
    def unused(self) -> Amount:
        """What can be given back once no call is in flight; negative if the last calls were larger than expected."""
        return self.borrowed.plus(self.spent, -1)

    async def admit(self, request: AnyRequest) -> None:
        """Wait until another call is covered. The first call runs alone, and must be covered at its maximum size."""
        async with self._turn:
            while self.largest is None and self.in_flight:
                await self._end_of_a_call()
            size = self.largest or self._amount(estimate(request, None))
            while not self._covers(size):
                if (loan := await self.lend(size)) is not None:
                    self.borrowed = self.borrowed.plus(loan)
                elif self.in_flight:
                    await self._end_of_a_call()
                else:
                    raise SpentError(
                        f"the budget of all workers does not cover the next completion, up to {size.tokens:,} tokens; "
                        "raise --max-total-tokens or --max-cost"
                    )
            self.in_flight += 1

    def admit_at_once(self, request: AnyRequest) -> bool:
        if self.largest is None or self._turn.locked() or not self._covers(self.largest):
            return False
        self.in_flight += 1
        return True

    def charge(self, request: AnyRequest, usage: Usage, text: str | None = None) -> None:
        if usage.unknown_calls:
            rough = estimate(request, text)
            usage = Usage(
                max(usage.prompt_tokens, rough.prompt_tokens), max(usage.completion_tokens, rough.completion_tokens)
            )
        amount = self._amount(usage)
        self.spent = self.spent.plus(amount)
        largest = self.largest or amount
        self.largest = Amount(max(largest.tokens, amount.tokens), max(largest.cost, amount.cost))
        self.withdraw()

    def withdraw(self) -> None:
        self.in_flight -= 1
        self._ended.set()

    def _covers(self, size: Amount) -> bool:
        return self.spent.plus(size, self.in_flight + 1).within(self.borrowed)

    async def _end_of_a_call(self) -> None:
        self._ended.clear()
        await self._ended.wait()

    def _amount(self, usage: Usage) -> Amount:
        return Amount(usage.tokens, self.price.of(usage) if self.price else 0.0)
