"""Training rationales, made of a teacher's vanilla judgements: breadth for preference, depth for correctness.

    result = await synthesise(comparisons, engine, Settings(arms=("mix",), samples=2))
    write(result, Path("synthesised"))                     # mix.jsonl, rejected.jsonl, manifest.json

Method: arXiv 2603.01571, stages I and II. A teacher writes N vanilla rationales about each comparison. Breadth merges
their units (`fathom.synth.merging`, no tokens spent). Depth solves the task, chooses the critical principles and judges
anew against the solution. No rationale is dropped because it disagrees with the label, unless `filter="consistent"`.

To resume is to run again with the same journal: `synthesise(comparisons, CachedEngine(engine, path), settings)`.

Not promised: that a merge by similarity joins every pair of principles that mean the same; that a refined judgment
refers to the solution, which is asked for and not checked.
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
    validated,
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
    "validated",
    "warning",
    "write",
]


async def synthesise(comparisons: Iterable[Comparison], engine: Engine, settings: Settings) -> Result:
    """Raises FathomError for comparisons that cannot be used, before anything is asked."""
    usable = validated(comparisons, settings)
    return Result(settings, tuple([synthesis async for synthesis in synthesise_each(usable, engine, settings)]))
