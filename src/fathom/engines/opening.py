"""Engines from settings: opened, and counted under the bounds of a run.

engine = open_engine(EngineSettings(model="judge-7b", base_url="http://localhost:8000/v1"))
metered = meter(engine, settings, BoundSettings(max_cost=5.0))
"""

from __future__ import annotations

from typing import Any, get_type_hints

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from fathom import engines
from fathom.engines import Engine
from fathom.engines.address import is_openai
from fathom.engines.checkpoints import resolve
from fathom.engines.metering import Metered, Price, prices
from fathom.errors import FathomError
from fathom.settings import BoundSettings, EngineSettings

NO_MODEL = frozenset({"mini-teacher"})
"""Engines that run without a model's name."""
WITHOUT_SERVER = frozenset({"local", "vllm", "replay", "mini-teacher"})
"""Engines that nobody bills: the model runs in this process, or its texts come from a journal."""
FREE = Price(prompt=0, completion=0)


def open_engine(settings: EngineSettings) -> Engine:
    """The engine that the settings name. Raises FathomError for one that cannot be had, or does not take a setting."""
    require_model(settings)
    _check_options(settings)
    return engines.open(settings.name, settings.model and resolve(settings.model), **settings.arguments)


def _check_options(settings: EngineSettings) -> None:
    """Raises FathomError for an option of another type than the engine takes, which it might notice at a call only."""
    hints = _hints(engines.ENGINES.find(settings.name))
    for name, value in settings.arguments.items():
        try:
            TypeAdapter(hints.get(name, Any), config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
        except ValidationError as error:
            message = error.errors(include_url=False)[0]["msg"].replace("Input should be", "must be")
            raise FathomError(f"--engine-option {name}={value!r} of the engine {settings.name!r} {message}") from None


def _hints(make: Any) -> dict[str, Any]:
    """The types of an engine's settings; none where they cannot be told, as with names imported for types alone."""
    try:
        return get_type_hints(getattr(make, "__init__") if isinstance(make, type) else make)  # noqa: B009 - as mypy wants
    except (NameError, TypeError):
        return {}


def require_model(settings: EngineSettings) -> None:
    """Raises FathomError where the engine needs a model and none is named."""
    if settings.model is None and settings.name in engines.ENGINES.table and settings.name not in NO_MODEL:
        raise FathomError("--model is missing: which model is asked? mini is the small one that comes with Fathom")


def price(settings: EngineSettings, bounds: BoundSettings) -> Price | None:
    """The model's price: that of --prices, else nothing for an engine that asks no server, else, at OpenAI's own
    address alone, that of the shipped table. None where no price is known."""
    listed = prices(bounds.prices).get(settings.model or "") if bounds.prices else None
    if listed is not None or settings.name in WITHOUT_SERVER:
        return listed or FREE
    if settings.model is None or bounds.prices:
        return None
    theirs = settings.name == "openai" and is_openai(settings.arguments.get("base_url"))
    return prices().get(settings.model) if theirs else None


def price_line(model: str | None) -> str:
    """The line that is missing in a table of prices, with the numbers left to fill in."""
    line: str = yaml.safe_dump({model or "MODEL": {}}, width=10_000)  # quotes a name that needs it
    return line.replace("{}", "{prompt: .., completion: ..}").strip()


def meter(engine: Engine, settings: EngineSettings, bounds: BoundSettings) -> Metered:
    """`engine`, counted and bounded. Raises FathomError for a bound in money where no price is known."""
    known = price(settings, bounds)
    if bounds.max_cost is not None and known is None:
        where = f"{bounds.prices} has no line for it" if bounds.prices else "give --prices FILE with a line for it"
        raise FathomError(
            f"no price is known for {settings.model}, so --max-cost cannot hold: {where}, with its prices in US "
            f"dollars per million tokens: {price_line(settings.model)}"
        )
    return Metered(engine, price=known, max_cost=bounds.max_cost, max_tokens=bounds.max_total_tokens)
