"""Engines from settings: opened, and counted under the bounds of a run.

engine = open_engine(EngineSettings(model="judge-7b", base_url="http://localhost:8000/v1"))
metered = meter(engine, settings, BoundSettings(max_cost=5.0))
"""

from __future__ import annotations

import os

from fathom import engines
from fathom.checkpoints import located
from fathom.engines import Engine
from fathom.engines.metering import Metered, Price, prices
from fathom.errors import FathomError
from fathom.settings import BoundSettings, EngineSettings

OPENAI = "https://api.openai.com/v1"
"""The address at which the shipped prices hold."""
NO_MODEL = frozenset({"mini-teacher"})
"""Engines that run without a model's name."""


def open_engine(settings: EngineSettings) -> Engine:
    """The engine that the settings name. Raises FathomError for one that cannot be had, or does not take a setting."""
    require_model(settings)
    return engines.open(settings.name, settings.model and located(settings.model), **settings.arguments)


def require_model(settings: EngineSettings) -> None:
    """Raises FathomError where the engine needs a model and none is named."""
    if settings.model is None and settings.name in engines.ENGINES and settings.name not in NO_MODEL:
        raise FathomError("--model is missing: which model is asked? mini is the small one that comes with Fathom")


def price(settings: EngineSettings, bounds: BoundSettings) -> Price | None:
    """The model's price: that of --prices, else, at OpenAI's own address alone, that of the shipped table."""
    if settings.model is None:
        return None
    if bounds.prices:
        return prices(bounds.prices).get(settings.model)
    address = settings.arguments.get("base_url") or os.environ.get("OPENAI_BASE_URL") or OPENAI
    return prices().get(settings.model) if settings.name == "openai" and address.rstrip("/") == OPENAI else None


def price_line(model: str | None) -> str:
    """The line of a table of prices that would give the model its price."""
    return f"{model}: {{prompt: 2.50, completion: 10.00}}"


def meter(engine: Engine, settings: EngineSettings, bounds: BoundSettings) -> Metered:
    """`engine`, counted and bounded. Raises FathomError for a bound in money where no price is known."""
    known = price(settings, bounds)
    if bounds.max_cost is not None and known is None:
        where = f"{bounds.prices} has no line for it" if bounds.prices else "give --prices FILE with a line for it"
        raise FathomError(
            f"no price is known for {settings.model}, so --max-cost cannot hold: {where}, such as "
            f"`{price_line(settings.model)}` (US dollars per million tokens)"
        )
    return Metered(engine, price=known, max_cost=bounds.max_cost, max_tokens=bounds.max_total_tokens)
