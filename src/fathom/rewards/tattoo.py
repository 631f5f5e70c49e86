"""TaTToo: a judge of steps that reads a table, by look-ups in it and a calculator.

    fathom judge answers.jsonl --judge tattoo --model M --base-url URL --out verdicts.jsonl

Method: "TaTToo" (arXiv 2510.06217), known from descriptions; no code is released. Steps that take values from the table
are checked by look-ups, and steps that reason by computing. The table is repeated before the step to check, because
models make little use of a table that stands many steps before it: the paper found that scores of other models hardly
change if the table is replaced.

The table is in the prompt of the comparison, in Markdown or as JSON (`fathom.process.tables`); without one, the vote is
invalid. The loop of calls, its bounds and its transcript are in `fathom.rewards._tool_judge`. The wording of the prompt
is ours, and so are the tools: the paper's are programs. Its training is not part of this judge.

It is blind to a table that is itself wrong, and to what a step leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fathom.data.records import Comparison
from fathom.judges import Vote
from fathom.process.tables import find_tables
from fathom.process.tools import Tool
from fathom.rationale import Status
from fathom.rewards._tool_judge import Exchange, ToolJudge


@dataclass(frozen=True, kw_only=True)
class TaTToo(ToolJudge):
    """Judges the steps of each answer alone, with look-ups and a calculator."""

    tools: tuple[Tool, ...] = ("table", "calculator")

    @property
    def template_name(self) -> str:
        return "tools/tattoo"

    def values(self, comparison: Comparison, index: int, exchanges: Sequence[Exchange]) -> dict[str, Any]:
        tables = tuple(table.written() for table in find_tables(comparison.prompt_text))
        return super().values(comparison, index, exchanges) | {"tables": tables}

    def decided(self, comparison: Comparison) -> Vote | None:
        if not find_tables(comparison.prompt_text):
            error = "the prompt has no table; expected one in Markdown, or as JSON with 'columns' and 'data'"
            return Vote(Status.INVALID, error=error)
        return super().decided(comparison)


JUDGE = TaTToo
