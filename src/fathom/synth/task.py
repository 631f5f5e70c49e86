"""The task of `fathom synth --ray`: the rationales of one comparison.

Principles get the same names in the whole run (`fathom.synth.merging`), and training sets are filtered, after all
workers have ended, in one process that holds all syntheses.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from pydantic import TypeAdapter

from fathom.data.folders import Folder
from fathom.data.records import Comparison
from fathom.engines import Engine
from fathom.judging import RowOutcome
from fathom.results import parts
from fathom.scale.task import Item, Work
from fathom.settings import BoundSettings, EngineSettings
from fathom.synth.pipeline import Settings, Synthesis, maker

SYNTHESIS = TypeAdapter(Synthesis)


@dataclass(frozen=True, kw_only=True)
class SynthesisTask:
    """Synthesises rationales with these settings, for comparisons that `validate_comparisons` returned."""

    engine: EngineSettings
    bounds: BoundSettings
    settings: Settings
    folder: ClassVar = parts.ITEMS
    columns: ClassVar = parts.ITEM_COLUMNS

    @property
    def concurrency(self) -> int:
        return self.settings.concurrency

    @contextmanager
    def work(self, engine: Engine) -> Iterator[Work]:
        make = maker(engine, self.settings)

        async def item(comparison: Comparison) -> Item:
            synthesis = await make(comparison)
            return Item({"id": comparison.id, "row": SYNTHESIS.dump_json(synthesis).decode()}, outcome(synthesis))

        yield Work(item)


def outcome(synthesis: Synthesis) -> RowOutcome:
    """Whether a comparison has a rationale, and whether any call failed."""
    return RowOutcome(bool(synthesis.rationales), synthesis.failed, synthesis.comparison.id)


def syntheses_of_workers(out: Folder) -> Iterator[Synthesis]:
    """The synthesis of each comparison, in the order of the source, without comparisons that were set aside."""
    for line, _ in parts.lines(out.address, parts.ITEMS):
        yield SYNTHESIS.validate_json(line)
