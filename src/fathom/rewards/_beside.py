"""A second model beside a reward model's engine, such as the reference of a log-ratio."""

from __future__ import annotations

from fathom import engines
from fathom.engines import Engine, EngineWrapper
from fathom.engines.cache import CachedEngine
from fathom.engines.checkpoints import resolve


def opened_beside(engine: Engine | None, model: str, name: str = "local") -> Engine:
    """A model in this process, opened as the engine `name`, on the device and in the precision asked for `engine`.

    Its readings are kept in the journal of `engine`, and counted by its meter, if it has them. Raises FathomError for a
    model that cannot be loaded.
    """
    second = engines.open(name, resolve(model), **_placement(engine))
    return engine.beside(second) if isinstance(engine, CachedEngine) else second


def _placement(engine: Engine | None) -> dict[str, str]:
    """The device and the precision with which a local model was opened; nothing for any other engine."""
    while isinstance(engine, EngineWrapper):
        engine = engine.engine
    found: dict[str, str] = getattr(engine, "placement", {})
    return found
