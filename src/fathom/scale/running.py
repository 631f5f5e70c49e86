"""A whole run on many machines: the plan, the shards, and the manifest of what came of it.

plan = planned(comparisons, out, identity, shard_rows=1000)
reports = run_plan(Job(task, out, plan.identity), plan, ray_settings, progress)
write_manifest(out, reports, provenance(config, inputs))
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from fathom.data.folders import Folder
from fathom.data.records import Comparison
from fathom.engines import RunStoppedError
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.results import parts
from fathom.results.provenance import as_json
from fathom.results.rows import reported
from fathom.scale.plan import PLAN, REPORTS, Plan, Report, Settled, read_plan, read_reports, write_plan
from fathom.scale.pool import completed
from fathom.scale.work import Job
from fathom.settings import RaySettings

SET_ASIDE = "set-aside.jsonl"


def identity_of(config: Mapping[str, Any], inputs: Iterable[Path]) -> str:
    """A hash of the settings that determine the rows, and of the content of the input files."""
    hashes = [_hash_of(path) for path in inputs]
    text = json.dumps([config, hashes], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:  # not `read_bytes`: the inputs of such runs may be larger than the memory
        return hashlib.file_digest(file, "sha256").hexdigest()


def planned(
    comparisons: Iterable[Comparison], out: Folder, identity: str, shard_rows: int, *, force: bool = False
) -> Plan:
    """The plan in the folder, or a new one.

    Raises FathomError if the folder has results of another plan; with `force`, these are removed, but not the journal,
    which may answer calls of the new plan.
    """
    found = read_plan(out)
    if found and found.identity == identity:
        return found
    results = [out / parts.PARTS, out / parts.ITEMS]
    if (found or any(folder.names() for folder in results)) and not force:
        raise FathomError(
            f"--out {out} contains results of other settings, inputs or --shard-rows; give another --out, or --force "
            "to replace them"
        )
    for folder in (out / PLAN, out / REPORTS, *results):
        for name in sorted(folder.names(), key=lambda name: name != "plan.json"):  # the index first: a part is no plan
            folder.remove(name)
    return write_plan(comparisons, out, identity, shard_rows)


def run_plan(
    job: Job,
    plan: Plan,
    settings: RaySettings,
    progress: Callable[[Settled], None] = lambda settled: None,
    *,
    ledger: Callable[[], Any] | None = None,
) -> list[Report]:
    """Work on all shards that have no final report, and return the reports of all.

    `progress` is called with what is settled of the plan: first with what an earlier run finished, then as workers go
    on. `ledger`: as for `completed`. Raises RunStoppedError with the first reason if the run could not finish, and
    FathomError as `completed` does.
    """
    reports = {shard: report for shard, report in read_reports(job.out, plan).items() if report.is_final}
    earlier = settled_of(reports.values())
    progress(earlier)
    left = [shard for shard in range(plan.shards) if shard not in reports]
    stopped: str | None = None
    for result in completed(job, left, settings, lambda settled: progress(earlier.plus(settled)), ledger):
        if isinstance(result, str):
            stopped = stopped or result
        else:
            reports[result.shard] = result
    if stopped:
        raise RunStoppedError(stopped)
    return [reports[shard] for shard in range(plan.shards)]


def settled_of(reports: Iterable[Report]) -> Settled:
    """The sum of what is settled."""
    return reduce(Settled.plus, (report.settled for report in reports), Settled())


def usage_of(reports: Iterable[Report]) -> Usage:
    """The usage of the workers that wrote the reports; what killed workers spent is not in it."""
    usages = (Usage(each.prompt_tokens, each.completion_tokens, each.unknown_calls) for each in reports)
    return sum(usages, Usage())


def cost_of(reports: Iterable[Report]) -> float | None:
    """US dollars, as `usage_of`; None if any worker's cost is unknown."""
    costs = [each.cost for each in reports]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def write_manifest(out: Folder, reports: Sequence[Report], record: Mapping[str, Any]) -> None:
    """Write manifest.json, of `record` and `described`, and the comparisons set aside, if any."""
    write_set_aside(out, reports)
    out.write(parts.MANIFEST, as_json({**record, **described(reports)}))


def described(reports: Sequence[Report]) -> dict[str, Any]:
    """What a manifest says about the workers: their spending, and the hashes of the parts."""
    files = [
        {"name": parts.part_name(report.shard), "rows": report.rows, "sha256": report.sha256} for report in reports
    ]
    spent = {**reported(usage_of(reports)), "cost": cost_of(reports)}
    aside = sum(len(report.set_aside) for report in reports)
    return {"spent": {"this_run": spent}, "set_aside": aside, "parts": files}


def write_set_aside(out: Folder, reports: Sequence[Report]) -> None:
    """Write set-aside.jsonl; remove that of an earlier run if nothing was set aside."""
    aside = [
        {"shard": report.shard, "index": each.index, "id": each.id, "reason": each.reason}
        for report in reports
        for each in report.set_aside
    ]
    if aside:
        out.write(SET_ASIDE, b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in aside))
    else:
        out.remove(SET_ASIDE)
