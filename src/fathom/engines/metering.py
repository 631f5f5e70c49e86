"""Counts the tokens and the cost of a run, and keeps them under bounds.

    metered = Metered(engine, price=Price(prompt=0.15, completion=0.60), max_cost=5.0)
    metered.usage, metered.cost            # tokens of all calls so far; US dollars, None if unknown
    metered.estimated                      # the same, with an estimate for calls without reported usage
    metered.prefix_cache_share             # share of the prompts' text that repeats the beginning of an earlier prompt

Wrap it in the journal, not around it, so that stored completions are not counted. Every call counts, whatever its
outcome: failed tries, unreadable answers, and calls cancelled in flight. An error response without usage was not
billed. Any other call without reported usage counts as unknown, never as 0.

A call waits while it could exceed a bound, assuming that it and all calls in flight are as large as the largest call
so far:

    spent + (in flight + 1) * largest <= bound

A run can therefore exceed its bound only by as much as a call in flight is larger than the largest before it. Calls
with unknown usage count with an estimate that errs on the high side (`estimate`).
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
    Answer,
    AnyRequest,
    Completion,
    Engine,
    EngineError,
    EngineWrapper,
    Meter,
    NullMeter,
    RunStoppedError,
    answer,
)
from fathom.engines.usage import Usage
from fathom.errors import FathomError

LOG = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "prices.yaml"
MILLION = 1_000_000
BYTES_PER_TOKEN = 3
"""UTF-8 bytes per token in estimates. Current tokenizers have about 4.2 for English, 3.2 for code, 4 for Chinese."""
BLOCK = 64
"""Characters per block of a prefix: servers cache prefixes in blocks of about 16 tokens."""
REMEMBERED = 25_000
"""Minimum number of blocks that are remembered; the maximum is twice as many, about 5 MB. 25,000 blocks are about
400,000 tokens, the size of the prefix cache of a server with one large GPU."""


class Price(BaseModel):
    """US dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: NonNegativeFloat
    completion: NonNegativeFloat

    def of(self, usage: Usage) -> float:
        return (self.prompt * usage.prompt_tokens + self.completion * usage.completion_tokens) / MILLION


def prices(path: Path = SHIPPED) -> Mapping[str, Price]:
    """Read a table of prices by model. Raises FathomError for any other file."""
    try:
        return TypeAdapter(dict[str, Price]).validate_python(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        form = "MODEL: {prompt: 2.50, completion: 10.00}, in US dollars per million tokens"
        raise FathomError(f"{path} is not a table of prices; expected lines such as {form}: {error}") from error


def estimate(request: AnyRequest, text: str | None) -> Usage:
    """Estimate a call's tokens from its text: one per 3 bytes of UTF-8, plus 8 per message for its role markers.

    `text`: the answer; None if none arrived, which counts as `max_tokens`.
    """
    prompt = sum(
        len(message["content"].encode(errors="replace")) // BYTES_PER_TOKEN + 8 for message in request.messages
    )
    prompt += -(-len(request.given.encode(errors="replace")) // BYTES_PER_TOKEN)
    if text is None:
        return Usage(prompt, request.max_new_tokens)
    return Usage(prompt, -(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN))


class SpentError(RunStoppedError):
    """A run has reached its bound."""


class Metered(EngineWrapper):
    """Counts the usage of `engine`, and stops before it could exceed `max_cost` or `max_tokens`.

    `max_cost` is in US dollars and needs a price; `max_tokens` counts prompt and completion tokens together. Raises
    FathomError for `max_cost` without a price. `completed`: successful completions; `failure`: the last failed one,
    of those that may succeed if they are repeated, if there are any, also of models beside `engine`.

    If `engine` reports its calls, this is their `fathom.engines.Meter`; otherwise each completion counts as one call.
    It reports its own calls to an outer meter.
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
            raise FathomError(
                f"no price is known for {engine.identity}, so its cost cannot be bounded; give one with "
                "--prices, or with price="
            )
        self.price = price
        self.max_cost = max_cost
        self.max_tokens = max_tokens
        self.free = Usage()
        """Tokens of models beside `engine` (`CachedEngine.beside`): they count towards `max_tokens`, at no cost."""
        self._charged = self._estimate = Usage()
        self.counts_prefixes = True
        """Whether to compute `prefix_cache_share`, which takes a twentieth of a server's processor time."""
        self.calls = self.completed = 0
        self.failure: EngineError | None = None
        self._largest = Usage()
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._warned = False
        self._outer: Meter = NullMeter()
        self._reported = engine.report_calls_to(self)
        # Hashes of recent prefixes in two generations: when the newer set is full, the older one is dropped.
        self._prefixes: set[int] = set()
        self._older: set[int] = set()
        self._blocks = self._shared = 0

    def report_calls_to(self, meter: Meter) -> bool:
        """Also report the calls to `meter`, which admits each call before this meter does."""
        self._outer = meter
        return True

    @property
    def usage(self) -> Usage:
        return self._charged + self.free

    @property
    def estimated(self) -> Usage:
        """Reported usage, and estimates for calls without it."""
        return self._estimate + self.free

    @property
    def cost(self) -> float | None:
        """US dollars; None without a price, or if the usage of any call is unknown (see `estimated_cost`)."""
        return self.price.of(self._charged) if self.price and not self.usage.unknown_calls else None

    @property
    def estimated_cost(self) -> float | None:
        return self.price.of(self._estimate) if self.price else None

    @property
    def prefix_cache_share(self) -> float | None:
        """The share of prompt text, 0 to 1, that a prefix cache need not compute again.

        None before any call, and without `counts_prefixes`. Computed over
        blocks of `BLOCK` characters, for a cache of the last `REMEMBERED` blocks.
        """
        return self._shared / self._blocks if self._blocks else None

    def __str__(self) -> str:
        """`12,345 tokens, $0.03`; with unknown usage, the known part and an estimate of the total."""
        known = _amount(self.usage, self.price.of(self._charged) if self.price else None)
        if not self.usage.unknown_calls:
            return known
        of = f"{self.usage.unknown_calls:,} of {self.calls:,} calls reported no token usage"
        least = f"at least {known}, " if self.usage.tokens else ""
        return f"{least}total unknown ({of}; estimated: {_amount(self.estimated, self.estimated_cost)})"

    async def answer(self, request: AnyRequest) -> Answer:
        """Answer a request. Raises SpentError if a bound leaves no room for it, and the errors of `engine`."""
        if self.counts_prefixes:
            self._share(request)
        try:
            result = await (answer(self.engine, request) if self._reported else self._one_call(request))
        except EngineError as error:
            self.note_failure(error)
            raise
        self.completed += 1
        return result

    def note_failure(self, error: EngineError) -> None:
        """Make this the last failed call, unless only an earlier one may succeed if it is repeated."""
        if self.failure is None or error.kind != "text" or self.failure.kind == "text":
            self.failure = error

    async def _one_call(self, request: AnyRequest) -> Answer:
        await self.admit(request)
        try:
            result = await answer(self.engine, request)
        except EngineError as error:
            self.charge(request, error.usage)
            raise
        except BaseException:
            self.withdraw()
            raise
        self.charge(request, result.usage, result.reasoning + result.text if isinstance(result, Completion) else "")
        return result

    # As a meter -------------------------------------------------------------------------------------------------------

    async def admit(self, request: AnyRequest) -> None:
        """Wait until another call fits under the bounds. The first call runs alone, because no size is known before."""
        await self._outer.admit(request)
        if not self._waiting and self._fits():
            self._in_flight += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit_waiting()
        try:
            await turn
        except BaseException:
            if not turn.cancelled() and turn.exception() is None:
                self._call_ended()  # the turn was granted at the moment of cancellation
            self._outer.withdraw()
            raise

    def admit_at_once(self, request: AnyRequest) -> bool:
        if not self._fits() or not self._outer.admit_at_once(request):
            return False
        self._in_flight += 1
        return True

    def charge(self, request: AnyRequest, usage: Usage, text: str | None = None) -> None:
        self._outer.charge(request, usage, text)
        self.calls += 1
        self._charged += usage
        if usage.unknown_calls:
            rough = estimate(request, text)
            usage = Usage(
                max(usage.prompt_tokens, rough.prompt_tokens), max(usage.completion_tokens, rough.completion_tokens)
            )
            self._warn()
        self._estimate += usage
        self._largest = max(self._largest, usage, key=attrgetter("tokens"))
        self._call_ended()

    def withdraw(self) -> None:
        self._outer.withdraw()
        self._call_ended()

    def _call_ended(self) -> None:
        self._in_flight -= 1
        self._admit_waiting()

    @property
    def _bounded(self) -> bool:
        return self.max_cost is not None or self.max_tokens is not None

    def _fits(self) -> bool:
        if not self._bounded:
            return True
        if self._in_flight and self._largest == Usage():
            return False
        usage = _with_calls(self._estimate, self._in_flight + 1, self._largest)
        over_cost = self.max_cost is not None and self.price is not None and self.price.of(usage) > self.max_cost
        return not over_cost and (self.max_tokens is None or usage.tokens + self.free.tokens <= self.max_tokens)

    def _admit_waiting(self) -> None:
        """Admit as many waiting calls as fit, in order. If no call is in flight and none fits, none ever will."""
        while self._waiting:
            fits = self._fits()
            if not fits and self._in_flight:
                return
            turn = self._waiting.popleft()
            if turn.done():
                continue
            if fits:
                self._in_flight += 1
                turn.set_result(None)
            else:
                turn.set_exception(SpentError(f"{self._bound()}, and the next completion could exceed that"))

    def _bound(self) -> str:
        estimated = " (estimated)" if self.usage.unknown_calls else ""
        if self.max_cost is not None:
            return f"spent ${self.estimated_cost or 0:.2f}{estimated} of the allowed ${self.max_cost:.2f}"
        return f"spent {self.estimated.tokens:,} tokens{estimated} of the allowed {self.max_tokens:,}"

    def _warn(self) -> None:
        if self._bounded and not self._warned:
            self._warned = True
            LOG.warning(
                "a call reported no token usage; for such calls the bound counts an estimate: one token per %d bytes "
                "of text, and max_tokens if no answer arrived",
                BYTES_PER_TOKEN,
            )

    def _share(self, request: AnyRequest) -> None:
        text = "\n".join(f"{message['role']}: {message['content']}" for message in request.messages)
        text += request.given
        prefix = 0
        for start in range(0, len(text), BLOCK):
            prefix = hash((prefix, text[start : start + BLOCK]))
            self._shared += prefix in self._prefixes or prefix in self._older
            self._prefixes.add(prefix)
            self._blocks += 1
        if len(self._prefixes) > REMEMBERED:
            self._prefixes, self._older = set(), self._prefixes


def _with_calls(usage: Usage, calls: int, each: Usage) -> Usage:
    """`usage` plus `calls` calls of the size `each`."""
    prompt = usage.prompt_tokens + calls * each.prompt_tokens
    return Usage(prompt, usage.completion_tokens + calls * each.completion_tokens)


def _amount(usage: Usage, cost: float | None) -> str:
    return f"{usage.tokens:,} tokens, {cost_in_words(cost)}"


def cost_in_words(cost: float | None) -> str:
    """A cost in US dollars for people: "cost unknown", "no cost" or "$0.03"."""
    if cost is None:
        return "cost unknown"
    return f"${cost:,.2f}" if cost else "no cost"
