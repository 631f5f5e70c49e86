"""What a run spends, and where it stops spending.

    metered = Metered(engine, price=price("gpt-4o-mini", table), max_cost=5.0)
    metered.usage, metered.cost            # tokens of all completions so far; US dollars, None where no price is known
    metered.shareable                      # share of the prompts' text with which an earlier prompt began

Put it inside the journal: what is found there costs nothing, and is not counted. Of calls that failed only what came
before the failure is counted, though a server may bill more. Under a bound a call waits while it and those in flight
could overshoot it, were each as large as the largest so far; so a run overshoots only by what is larger than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, TypeAdapter, ValidationError

from fathom.engines import Completion, Engine, EngineError, Request
from fathom.errors import FathomError
from fathom.verdict import Usage

SHIPPED = Path(__file__).parent / "prices.yaml"
MILLION = 1_000_000
BLOCK = 64
"""Characters that are shared as a whole or not at all: servers cache prefixes in blocks of some 16 tokens."""
REMEMBERED = 100_000
"""Blocks that are remembered at least, and twice as many at most: some 20 MB."""


class Price(BaseModel):
    """US dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: NonNegativeFloat
    completion: NonNegativeFloat

    def of(self, usage: Usage) -> float:
        return (self.prompt * usage.prompt_tokens + self.completion * usage.completion_tokens) / MILLION


def prices(path: Path = SHIPPED) -> Mapping[str, Price]:
    """A table of prices by model. Raises FathomError for a file that is none."""
    try:
        return TypeAdapter(dict[str, Price]).validate_python(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        form = "MODEL: {prompt: 2.50, completion: 10.00}, in US dollars per million tokens"
        raise FathomError(f"{path}: no table of prices; allowed are lines of {form}: {error}") from error


class SpentError(FathomError):
    """A run has reached its bound."""


class Metered:
    """Counts what `engine` completes, and asks it nothing more where that could exceed `max_cost` or `max_tokens`.

    `max_cost` is in US dollars and needs a price; `max_tokens` counts tokens read and written. Raises FathomError for
    a bound in money without a price. `completed` calls went well; `failure` is the last one that did not.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        price: Price | None = None,
        max_cost: float | None = None,
        max_tokens: int | None = None,
    ) -> None:
        if max_cost is not None and price is None:
            raise FathomError(f"no price is known for {engine.identity}, so no cost can be bounded: see --prices")
        self.engine = engine
        self.price = price
        self.max_cost = max_cost
        self.max_tokens = max_tokens
        self.usage = Usage()
        self.completed = 0
        self.failure: EngineError | None = None
        self._largest = Usage()
        self._flying = 0
        self._waiting: list[asyncio.Future[None]] = []
        # Two sets, of which the older is dropped when the newer is full: what was asked last is remembered.
        self._prefixes: set[int] = set()
        self._older: set[int] = set()
        self._blocks = self._shared = 0

    @property
    def identity(self) -> str:
        return self.engine.identity

    @property
    def cost(self) -> float | None:
        return self.price.of(self.usage) if self.price else None

    @property
    def shareable(self) -> float | None:
        """The share of the text asked that a cache of prefixes need not compute again, 0 to 1; None before any call.

        Counted in blocks of characters, for a cache that remembers the last `REMEMBERED` of them.
        """
        return self._shared / self._blocks if self._blocks else None

    async def complete(self, request: Request) -> Completion:
        """Raises SpentError where a bound leaves no room for it, and EngineError as `engine` does."""
        if self.max_cost is not None or self.max_tokens is not None:
            await self._admitted()
        self._share(request)
        self._flying += 1
        try:
            completion = await self.engine.complete(request)
        except EngineError as error:
            self.failure = error
            if error.written is not None:
                self.usage += error.written.usage
            raise
        finally:
            self._flying -= 1
            self._wake()
        self.completed += 1
        self.usage += completion.usage
        self._largest = max(self._largest, completion.usage, key=attrgetter("tokens"))
        return completion

    async def _admitted(self) -> None:
        """Waits until another call fits under the bounds. The first goes alone: before it, no size is known."""
        while self._flying and (self._largest == Usage() or self._overshoots(self._flying + 1)):
            landed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(landed)
            await landed
        if self._overshoots(1):
            raise SpentError(f"{self._spent()}, and the next completion could exceed that")

    def _overshoots(self, calls: int) -> bool:
        usage = sum([self._largest] * calls, self.usage)
        over_tokens = self.max_tokens is not None and usage.tokens > self.max_tokens
        return over_tokens or (
            self.max_cost is not None and self.price is not None and self.price.of(usage) > self.max_cost
        )

    def _spent(self) -> str:
        if self.max_cost is not None:
            return f"${self.cost or 0:.2f} are spent of the ${self.max_cost:.2f} that are allowed"
        return f"{self.usage.tokens:,} tokens are spent of the {self.max_tokens:,} that are allowed"

    def _wake(self) -> None:
        for landed in self._waiting:
            if not landed.done():
                landed.set_result(None)
        self._waiting.clear()

    def _share(self, request: Request) -> None:
        text = "\n".join(f"{message['role']}: {message['content']}" for message in request.messages)
        prefix = 0
        for start in range(0, len(text), BLOCK):
            prefix = hash((prefix, text[start : start + BLOCK]))
            self._shared += prefix in self._prefixes or prefix in self._older
            self._prefixes.add(prefix)
            self._blocks += 1
        if len(self._prefixes) > REMEMBERED:
            self._prefixes, self._older = set(), self._prefixes

    def stop(self) -> None:
        stop: Any = getattr(self.engine, "stop", None)
        if stop is not None:
            stop()

    async def close(self) -> None:
        close: Any = getattr(self.engine, "close", None)
        if close is not None:
            await close()
