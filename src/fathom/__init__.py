"""Fathom: generative reward models, from their training rationales to their verdicts.

The names below are the public ones. Each is imported when it is first used, so that `import fathom` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "fathom.records": ("Comparison", "Label", "Message"),
    "fathom.reading": ("read", "write_jsonl"),
    "fathom.rationale": ("Rationale", "Status", "Unit", "parse", "render"),
    "fathom.verdict": ("Rule", "Usage", "Verdict", "Vote"),
    "fathom.judges": ("Judge", "Voter"),
    "fathom.judges.arena_hard": ("ArenaHardJudge",),
    "fathom.judging.session": ("Session",),
    "fathom.settings": (
        "BoundSettings",
        "EngineSettings",
        "JudgeSettings",
        "JudgingSettings",
        "SamplingSettings",
        "VotingSettings",
    ),
    "fathom.judges.mix": ("MixJudge",),
    "fathom.judges.spct": ("SPCTJudge",),
    "fathom.scaling.votes": ("Counted", "Repeated", "Shuffled", "Swapped"),
    "fathom.scaling.adaptive": ("Adaptive",),
    "fathom.scaling.panel": ("Panel",),
    "fathom.scaling.ranking": ("rank",),
    "fathom.scaling.recorded": ("recorded",),
    "fathom.judging": ("verdict_row",),
    "fathom.engines": ("Completion", "Request", "Sampling"),
    "fathom.engines.local": ("LocalEngine",),
    "fathom.engines.openai": ("OpenAIEngine",),
    "fathom.engines.replay": ("ReplayEngine",),
    "fathom.engines.scripted": ("ScriptedEngine",),
    "fathom.engines.cache": ("CachedEngine",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fathom' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
