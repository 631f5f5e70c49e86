"""What a run spends, and where it stops spending.

    metered = Metered(engine, price=Price(prompt=0.15, completion=0.60), max_cost=5.0)
    metered.usage, metered.cost            # tokens of all calls so far; US dollars, None where they are not known
    metered.estimated                      # the same with an estimate for calls whose usage was not reported
    metered.prefix_cache_share                      # share of the prompts' text with which an earlier prompt began

Put it inside the journal: what is found there costs nothing, and is not counted. Every call counts, whatever its answer
was good for: tries that failed and were tried again, answers that could not be read, calls that were given up while
they were in flight. An error that says nothing of usage was not billed. All other calls without reported usage are
unknown: they are counted as such, never as 0.

Under a bound a call waits while it and those in flight could overshoot it, were each as large as the largest so far;
so a bound holds within the calls in flight, and a run overshoots it only by what is larger than the largest so far.
Calls with unknown usage count with an estimate that is rather too high (`estimate`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, TypeAdapter, ValidationError

from fathom.engines import (
    Completion,
    Engine,
    EngineError,
    EngineWrapper,
    Meter,
    Request,
    RunStoppedError,
    UnmeteredCalls,
)
from fathom.engines.usage import Usage
from fathom.errors import FathomError

LOG = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "prices.yaml"
MILLION = 1_000_000
BYTES_PER_TOKEN = 3
"""Of UTF-8, in an estimate. English has some 4.2 and code some 3.2 by today's vocabularies, Chinese some 4."""
BLOCK = 64
"""Characters that are shared as a whole or not at all: servers cache prefixes in blocks of some 16 tokens."""
REMEMBERED = 25_000
"""Blocks that are remembered at least, and twice as many at most: some 5 MB. 25,000 are some 400,000 tokens, as many as
the cache of a server with one large GPU holds."""


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
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        form = "MODEL: {prompt: 2.50, completion: 10.00}, in US dollars per million tokens"
        raise FathomError(f"{path}: no table of prices; allowed are lines of {form}: {error}") from error


def estimate(request: Request, text: str | None) -> Usage:
    """The tokens that a call took, from its text: one for every 3 bytes of UTF-8, and some for each message's frame.

    Of an answer that never came, None, the completion is taken to be as long as it was allowed to be.
    """
    read = sum(len(message["content"].encode(errors="replace")) // BYTES_PER_TOKEN + 8 for message in request.messages)
    read += -(-len(request.prefix.encode(errors="replace")) // BYTES_PER_TOKEN)
    if text is None:
        return Usage(read, request.sampling.max_tokens)
    return Usage(read, -(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN))


class SpentError(RunStoppedError):
    """A run has reached its bound."""


class Metered(EngineWrapper):
    """Counts what the calls of `engine` use, and makes no more where that could exceed `max_cost` or `max_tokens`.

    `max_cost` is in US dollars and needs a price; `max_tokens` counts tokens read and written. Raises FathomError for
    a bound in money without a price. `completed` completions went well; `failure` is the last one that did not.

    It is the `fathom.engines.Meter` of an engine that reports its calls; of any other, it counts a completion as one
    call. It reports its calls itself, to a meter around it.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        price: Price | None = None,
        max_cost: float | None = None,
        max_tokens: int | None = None,
    ) -> None:
        super().__init__(engine)
        if max_cost is not None and price is None:
            raise FathomError(f"no price is known for {engine.identity}, so no cost can be bounded: see --prices")
        self.price = price
        self.max_cost = max_cost
        self.max_tokens = max_tokens
        self.usage = Usage()
        self.estimated = Usage()
        """What was reported, and an estimate of the rest."""
        self.calls = self.completed = 0
        self.failure: EngineError | None = None
        self._largest = Usage()
        self._flying = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._warned = False
        self._outer: Meter = UnmeteredCalls()
        self._reported = engine.report_calls_to(self)
        # Two sets, of which the older is dropped when the newer is full: what was asked last is remembered.
        self._prefixes: set[int] = set()
        self._older: set[int] = set()
        self._blocks = self._shared = 0

    def report_calls_to(self, meter: Meter) -> bool:
        """A meter around this one is asked after it, and hears of the same calls."""
        self._outer = meter
        return True

    @property
    def cost(self) -> float | None:
        """None without a price, and where the usage of a call is unknown: `estimated_cost` is there then."""
        return self.price.of(self.usage) if self.price and not self.usage.unknown_calls else None

    @property
    def estimated_cost(self) -> float | None:
        return self.price.of(self.estimated) if self.price else None

    @property
    def prefix_cache_share(self) -> float | None:
        """The share of the text asked that a cache of prefixes need not compute again, 0 to 1; None before any call.

        Counted in blocks of characters, for a cache that remembers the last `REMEMBERED` of them.
        """
        return self._shared / self._blocks if self._blocks else None

    def __str__(self) -> str:
        """`12,345 tokens, $0.03`; what is unknown is said to be, with what is known and what is estimated."""
        known = _amount(self.usage, self.price)
        if not self.usage.unknown_calls:
            return known
        of = f"{self.usage.unknown_calls:,} of {self.calls:,} calls reported no token usage"
        least = f"at least {known}, " if self.usage.tokens else ""
        return f"{least}unknown in all ({of}; estimated: {_amount(self.estimated, self.price)})"

    async def complete(self, request: Request) -> Completion:
        """Raises SpentError where a bound leaves no room for it, and EngineError as `engine` does."""
        self._share(request)
        try:
            completion = await (self.engine.complete(request) if self._reported else self._one_call(request))
        except EngineError as error:
            self.failure = error
            raise
        self.completed += 1
        return completion

    async def _one_call(self, request: Request) -> Completion:
        await self.admit(request)
        try:
            completion = await self.engine.complete(request)
        except EngineError as error:
            self.charge(request, error.usage)
            raise
        except BaseException:
            self.withdraw()
            raise
        self.charge(request, completion.usage, completion.reasoning + completion.text)
        return completion

    # As a meter -------------------------------------------------------------------------------------------------------

    async def admit(self, request: Request) -> None:
        """Waits until another call fits under the bounds. The first goes alone: before it, no size is known."""
        await self._outer.admit(request)
        if not self._waiting and self._fits():
            self._flying += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._let_in()
        try:
            await turn
        except BaseException:
            if not turn.cancelled() and turn.exception() is None:
                self._land()  # the turn came in the moment of giving up
            self._outer.withdraw()
            raise

    def admit_at_once(self, request: Request) -> bool:
        if not self._fits() or not self._outer.admit_at_once(request):
            return False
        self._flying += 1
        return True

    def charge(self, request: Request, usage: Usage, text: str | None = None) -> None:
        self._outer.charge(request, usage, text)
        self.calls += 1
        self.usage += usage
        if usage.unknown_calls:
            rough = estimate(request, text)
            usage = Usage(
                max(usage.prompt_tokens, rough.prompt_tokens), max(usage.completion_tokens, rough.completion_tokens)
            )
            self._warn()
        self.estimated += usage
        self._largest = max(self._largest, usage, key=attrgetter("tokens"))
        self._land()

    def withdraw(self) -> None:
        self._outer.withdraw()
        self._land()

    def _land(self) -> None:
        self._flying -= 1
        self._let_in()

    @property
    def _bounded(self) -> bool:
        return self.max_cost is not None or self.max_tokens is not None

    def _fits(self) -> bool:
        if not self._bounded:
            return True
        if self._flying and self._largest == Usage():
            return False
        usage = _and_so_many(self.estimated, self._flying + 1, self._largest)
        over_cost = self.max_cost is not None and self.price is not None and self.price.of(usage) > self.max_cost
        return not over_cost and (self.max_tokens is None or usage.tokens <= self.max_tokens)

    def _let_in(self) -> None:
        """Those that wait, in their order, as many as fit; where none is in flight and none fits, none ever will."""
        while self._waiting:
            fits = self._fits()
            if not fits and self._flying:
                return
            turn = self._waiting.popleft()
            if turn.done():
                continue
            if fits:
                self._flying += 1
                turn.set_result(None)
            else:
                turn.set_exception(SpentError(f"{self._bound()}, and the next completion could exceed that"))

    def _bound(self) -> str:
        estimated = ", by estimate," if self.usage.unknown_calls else ""
        if self.max_cost is not None:
            return f"${self.estimated_cost or 0:.2f}{estimated} are spent of the ${self.max_cost:.2f} that are allowed"
        return f"{self.estimated.tokens:,} tokens{estimated} are spent of the {self.max_tokens:,} that are allowed"

    def _warn(self) -> None:
        if self._bounded and not self._warned:
            self._warned = True
            LOG.warning(
                "a call reported no token usage; the bound counts an estimate for it and for all others like it: a "
                "token for every %d bytes of text, max_tokens where no answer came",
                BYTES_PER_TOKEN,
            )

    def _share(self, request: Request) -> None:
        text = "\n".join(f"{message['role']}: {message['content']}" for message in request.messages)
        text += request.prefix
        prefix = 0
        for start in range(0, len(text), BLOCK):
            prefix = hash((prefix, text[start : start + BLOCK]))
            self._shared += prefix in self._prefixes or prefix in self._older
            self._prefixes.add(prefix)
            self._blocks += 1
        if len(self._prefixes) > REMEMBERED:
            self._prefixes, self._older = set(), self._prefixes


def _and_so_many(usage: Usage, calls: int, each: Usage) -> Usage:
    read = usage.prompt_tokens + calls * each.prompt_tokens
    return Usage(read, usage.completion_tokens + calls * each.completion_tokens)


def _amount(usage: Usage, price: Price | None) -> str:
    return f"{usage.tokens:,} tokens, {cost_in_words(price.of(usage) if price else None)}"


def cost_in_words(cost: float | None) -> str:
    """US dollars as a run's last line has them: unknown, none and some are told apart."""
    if cost is None:
        return "cost unknown"
    return f"${cost:,.2f}" if cost else "no cost"
