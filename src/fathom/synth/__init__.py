"""Synthesis of training rationales from a teacher's vanilla judgments: breadth for preference, depth for correctness.

    result = await synthesise(comparisons, engine, Settings(arms=("mix",), samples=2))
    write(result, Path("synthesised"))                     # mix.jsonl, rejected.jsonl, manifest.json

Method: arXiv 2603.01571, stages I and II. A teacher writes N vanilla rationales for each comparison. Breadth merges
their units (`fathom.synth.merging`, without model calls). Depth solves the task, chooses the critical principles and
judges them again, against the solution. Rationales that disagree with the label are kept, unless
`filter="consistent"`.

To resume, run again with the same journal: `synthesise(comparisons, CachedEngine(engine, path), settings)`.

Limits: merging by similarity may miss principles with the same meaning. The prompt of a refined judgment requests a
reference to the solution, but no code checks that there is one.
"""

from __future__ import annotations

from collections.abc import Iterable

from fathom.data.records import Comparison
from fathom.engines import Engine
from fathom.synth.merging import merge
from fathom.synth.pipeline import (
    STRUCTURE_FOR_DOMAIN,
    Arm,
    Rejected,
    Settings,
    Structure,
    Synthesis,
    synthesise_each,
    validate_comparisons,
)
from fathom.synth.result import Accuracy, Result, table, warning, write

__all__ = [
    "STRUCTURE_FOR_DOMAIN",
    "Accuracy",
    "Arm",
    "Rejected",
    "Result",
    "Settings",
    "Structure",
    "Synthesis",
    "merge",
    "synthesise",
    "synthesise_each",
    "table",
    "validate_comparisons",
    "warning",
    "write",
]


async def synthesise(comparisons: Iterable[Comparison], engine: Engine, settings: Settings) -> Result:
    """Synthesise rationales for all comparisons. Raises FathomError for unusable comparisons, before any call."""
    usable = validate_comparisons(comparisons, settings)
    return Result(settings, tuple([synthesis async for synthesis in synthesise_each(usable, engine, settings)]))
