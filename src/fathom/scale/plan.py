"""The plan of a run on many machines: its comparisons, cut into shards that any worker can take.

    OUT/plan/shard-000000.jsonl     # comparisons
    OUT/plan/plan.json              # written last: a plan with it is complete
    OUT/reports/report-000000.json  # written after the part of a shard: what came of it

The source is read in one pass by `fathom.data.reading`, as on one machine, so ids, layout and order are the same.
Shards are consecutive comparisons. A run with the same settings and inputs reuses the plan; one with others is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from fathom.data.folders import Folder
from fathom.data.records import Comparison
from fathom.errors import FathomError

PLAN = "plan"
REPORTS = "reports"
INDEX = "plan.json"


@dataclass(frozen=True)
class Plan:
    """A complete plan."""

    identity: str
    """A hash of everything that determines the rows."""
    rows: int
    shards: int


@dataclass(frozen=True)
class SetAside:
    """A comparison on which the work raised an error, or ended its worker."""

    index: int
    """Its position in the shard, from 0."""
    id: str
    reason: str


class Settled(NamedTuple):
    """Comparisons that need no more work in this run, judged or set aside, and what they cost."""

    rows: int = 0
    unparsed: int = 0
    failed: int = 0
    tokens: int = 0
    cost: float | None = 0.0
    """US dollars; None if any part of it is unknown."""

    def plus(self, other: Settled) -> Settled:
        return Settled(
            self.rows + other.rows,
            self.unparsed + other.unparsed,
            self.failed + other.failed,
            self.tokens + other.tokens,
            None if self.cost is None or other.cost is None else self.cost + other.cost,
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """What came of a shard."""

    shard: int
    identity: str
    """That of the plan."""
    engine: str
    """The engine's identity."""
    rows: int
    """Rows in the part."""
    failed: int
    """Rows with a failed call."""
    without_verdict: int
    """Of these, rows without any verdict."""
    unparsed: int
    sha256: str
    """The hash of the part."""
    set_aside: tuple[SetAside, ...]
    prompt_tokens: int
    completion_tokens: int
    unknown_calls: int
    cost: float | None
    """US dollars spent by the worker that wrote this report; None if unknown."""
    error: str | None
    """The last failed call."""
    completed: int
    """Successful calls of that worker."""
    unreadable: bool = False
    """Whether every failed call was about a text that the model cannot read, so that it would fail again."""
    first_failed: str = ""
    """The id of the first row with a failed call."""
    details: dict[str, Any] = field(default_factory=dict)
    """What the task adds (`fathom.scale.task.Work.details`)."""

    @property
    def is_final(self) -> bool:
        """Whether work on the shard again would change nothing, because no call failed and nothing was set aside."""
        return not self.failed and not self.set_aside

    @property
    def settled(self) -> Settled:
        aside, tokens = len(self.set_aside), self.prompt_tokens + self.completion_tokens
        return Settled(self.rows + aside, self.unparsed + aside, self.failed + aside, tokens, self.cost)


def shard_name(shard: int) -> str:
    return f"shard-{shard:06d}"


Element = TypeVar("Element")


def pieces(items: Iterable[Element], size: int) -> Iterator[list[Element]]:
    """Cut items into lists of a size, as a source into shards; the last one may be smaller."""
    waiting = iter(items)
    while piece := list(islice(waiting, size)):
        yield piece


def write_plan(comparisons: Iterable[Comparison], out: Folder, identity: str, shard_rows: int) -> Plan:
    """Write the shards, then the index."""
    folder = out / PLAN
    rows = shards = 0
    for shard in pieces(comparisons, shard_rows):
        folder.write(f"{shard_name(shards)}.jsonl", encode(shard))
        rows, shards = rows + len(shard), shards + 1
    plan = Plan(identity, rows, shards)
    folder.write(INDEX, to_json(plan, indent=2))
    return plan


def read_plan(out: Folder) -> Plan | None:
    """The plan in a folder; None if it is missing or incomplete. Raises FathomError if it cannot be read."""
    folder = out / PLAN
    if INDEX not in folder.names():
        return None
    plan: Plan = _parsed(Plan, folder.read(INDEX), f"{folder}/{INDEX}")
    return plan


def encode(comparisons: Iterable[Comparison]) -> bytes:
    """Comparisons as lines of JSON. Metadata without a JSON form becomes what a result row would write."""
    return b"".join(
        to_json(comparison, bytes_mode="base64", fallback=str) + b"\n"  # as `fathom.results.rows.write_row`
        for comparison in comparisons
    )


def decode(content: bytes) -> Iterator[Comparison]:
    return map(Comparison.model_validate_json, content.splitlines())


def write_report(out: Folder, report: Report) -> None:
    (out / REPORTS).write(_report_name(report.shard), json.dumps(asdict(report)).encode())


def read_reports(out: Folder, plan: Plan) -> Mapping[int, Report]:
    """The reports of a plan by shard. Those of another plan are left out."""
    folder = out / REPORTS
    names, expected = folder.names(), {_report_name(shard) for shard in range(plan.shards)}
    reports = (_parsed(Report, folder.read(name), f"{folder}/{name}") for name in names if name in expected)
    return {report.shard: report for report in reports if report.identity == plan.identity}


def _report_name(shard: int) -> str:
    return f"report-{shard:06d}.json"


def _parsed(kind: Any, content: bytes, where: str) -> Any:
    try:
        return TypeAdapter(kind).validate_json(content)
    except ValidationError as error:
        raise FathomError(f"{where} is not what fathom --ray writes: {error}; give another --out") from None
