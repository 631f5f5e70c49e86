"""Opens engines from settings, and meters them under the bounds of a run.

engine = open_engine(EngineSettings(model="judge-7b", base_url="http://localhost:8000/v1"))
metered = meter(engine, settings, BoundSettings(max_cost=5.0))
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from fathom import engines
from fathom.engines import Engine, EngineWrapper
from fathom.engines.address import is_openai
from fathom.engines.checkpoints import resolve
from fathom.engines.metering import Metered, Price, prices
from fathom.engines.replicas import ReplicatedEngine
from fathom.errors import FathomError
from fathom.settings import BoundSettings, EngineSettings

NO_MODEL = frozenset({"mini-teacher"})
"""Engines that need no model name."""
WITHOUT_SERVER = frozenset({"local", "masked", "vllm", "replay", "mini-teacher"})
"""Engines without billing: the model runs in this process, or its completions come from a journal."""
FREE = Price(prompt=0, completion=0)


def open_engine(settings: EngineSettings) -> Engine:
    """Open an engine. Raises FathomError for an engine that is not available, and for invalid options."""
    require_model(settings)
    _check_options(settings)
    model, arguments = settings.model and resolve(settings.model), settings.arguments
    addresses = settings.addresses
    if len(addresses) < 2:
        return engines.open(settings.name, model, **arguments)
    # A replica does not try again by itself: another one tries at once.
    own = [arguments | {"base_url": address, "retries": 0} for address in addresses]
    rounds = {name: arguments[name] for name in ("retries", "first_backoff") if name in arguments}
    return ReplicatedEngine([engines.open(settings.name, model, **each) for each in own], **rounds)


def _check_options(settings: EngineSettings) -> None:
    """Raise FathomError for an option of the wrong type, which the engine might notice only at its first call."""
    hints = _hints(engines.ENGINES.find(settings.name))
    for name, value in settings.arguments.items():
        try:
            TypeAdapter(hints.get(name, Any), config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
        except ValidationError as error:
            # pydantic writes "Input should be a valid integer"; the option's name takes the place of "Input".
            message = error.errors(include_url=False)[0]["msg"].replace("Input should be", "must be")
            raise FathomError(f"--engine-option {name}={value!r} of the engine {settings.name!r} {message}") from None


def _hints(make: Any) -> dict[str, Any]:
    """The types of an engine's options; none if they cannot be resolved, as with imports under TYPE_CHECKING."""
    try:
        return get_type_hints(getattr(make, "__init__") if isinstance(make, type) else make)  # noqa: B009 - as mypy wants
    except (NameError, TypeError):
        return {}


def require_model(settings: EngineSettings) -> None:
    """Raise FathomError if the engine needs a model and the settings name none."""
    if settings.model is None and settings.name in engines.ENGINES.table and settings.name not in NO_MODEL:
        raise FathomError("--model is missing: name the model to call; mini is the small one that comes with Fathom")


def price(settings: EngineSettings, bounds: BoundSettings) -> Price | None:
    """The model's price from --prices; else 0 for an engine without a server; else, only for OpenAI's own address, from
    the shipped table. None if no price is known."""
    listed = prices(bounds.prices).get(settings.model or "") if bounds.prices else None
    if listed is not None or settings.name in WITHOUT_SERVER:
        return listed or FREE
    if settings.model is None or bounds.prices:
        return None
    at_openai = settings.name == "openai" and is_openai(settings.arguments.get("base_url"))
    return prices().get(settings.model) if at_openai else None


def price_line(model: str | None) -> str:
    """A line for a table of prices, with the numbers left to fill in."""
    line: str = yaml.safe_dump({model or "MODEL": {}}, width=10_000)  # quotes names where YAML requires it
    return line.replace("{}", "{prompt: .., completion: ..}").strip()


def price_for_bounds(settings: EngineSettings, bounds: BoundSettings) -> Price | None:
    """As `price`. Raises FathomError for a bound on cost without a known price."""
    known = price(settings, bounds)
    if bounds.max_cost is not None and known is None:
        where = f"{bounds.prices} has no line for it" if bounds.prices else "give --prices FILE with a line for it"
        raise FathomError(
            f"no price is known for {settings.model}, so --max-cost cannot be enforced: {where}, with its prices in US "
            f"dollars per million tokens: {price_line(settings.model)}"
        )
    return known


def meter(engine: Engine, settings: EngineSettings, bounds: BoundSettings) -> Metered:
    """Meter `engine` under bounds. Raises FathomError for a bound on cost without a known price."""
    known = price_for_bounds(settings, bounds)
    return Metered(engine, price=known, max_cost=bounds.max_cost, max_tokens=bounds.max_total_tokens)


@contextmanager
def shared(engine: Engine) -> Iterator[Engine]:
    """The engine for several users that close it, each in an event loop of its own: it is closed at the end."""
    try:
        yield _Shared(engine)
    finally:
        asyncio.run(engine.close())


class _Shared(EngineWrapper):
    """An engine whose `close` does nothing."""

    async def close(self) -> None: ...
