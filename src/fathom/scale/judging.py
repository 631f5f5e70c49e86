"""The task of `fathom judge` and `fathom eval`: a verdict, or a ranking, per comparison.

The judge, its votes and its rows are those of one machine (`fathom.judging`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar

from fathom.data.records import Comparison
from fathom.engines import Engine, check_capabilities
from fathom.judging import row_outcome, verdict_or_ranking
from fathom.judging.session import judge_of, meta_of, with_votes
from fathom.results import parts
from fathom.results.export import figures
from fathom.results.rows import to_row, write_row
from fathom.scale.task import Item, Work
from fathom.settings import BoundSettings, EngineSettings, JudgingSettings


@dataclass(frozen=True)
class JudgeTask:
    """Judges comparisons with these settings."""

    settings: JudgingSettings
    rankings: bool = False
    """Whether a pairwise judge ranks more than two responses, as in `fathom eval`."""
    concurrency: ClassVar[int] = 256
    """As in `fathom.judging.write_verdicts`; the engine limits its calls."""
    folder: ClassVar = parts.PARTS
    columns: ClassVar = parts.COLUMNS

    @property
    def engine(self) -> EngineSettings:
        return self.settings.engine

    @property
    def bounds(self) -> BoundSettings:
        return self.settings.bounds

    @contextmanager
    def work(self, engine: Engine) -> Iterator[Work]:
        judge = replace(judge_of(self.settings), engine=engine)
        check_capabilities(engine, judge.needs, f"the judge {type(judge).__name__}")
        settings = self.settings
        model = with_votes(judge, settings.voting, settings.sampling.seed, meta_of(settings, judge))
        judged = verdict_or_ranking(model) if self.rankings else model

        async def item(comparison: Comparison) -> Item:
            result = await judged(comparison)
            row, line = to_row(comparison, result), io.BytesIO()
            write_row(line, row)
            return Item(
                {**figures(row), "row": line.getvalue().rstrip(b"\n").decode()}, row_outcome(comparison, result)
            )

        yield Work(item)
