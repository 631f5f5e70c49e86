"""A second model beside a reward model's engine, such as the reference of a log-ratio."""

from __future__ import annotations

from fathom import engines
from fathom.engines import Engine
from fathom.engines.cache import CachedEngine
from fathom.engines.checkpoints import resolve


def opened_beside(engine: Engine | None, model: str) -> Engine:
    """A model in this process, whose readings are kept in the engine's journal if it has one.

    Raises FathomError for a model that cannot be loaded.
    """
    second = engines.open("local", resolve(model))
    return CachedEngine(second, engine.journal) if isinstance(engine, CachedEngine) else second
