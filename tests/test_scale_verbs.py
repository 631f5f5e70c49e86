"""Verbs with `--ray`, whose shards are worked on in this process: what they write is what one machine writes.

`tests/test_ray.py` runs the same commands on Ray.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fathom import bench
from fathom.cli import app
from fathom.engines.opening import open_engine
from fathom.errors import FathomError
from fathom.results import runs
from fathom.scale.ledger import Ledger
from fathom.scale.plan import PLAN, Report, shard_name
from fathom.scale.work import Job, work_on
from fathom.settings import BoundSettings, RaySettings
from test_bench import write_example

ENGINES = Path(__file__).with_name("hashing.py")
JUDGE = ["--engine", f"{ENGINES}:judge"]
RAY = ["--ray", "--shard-rows", 2]


class InProcess:
    """What `fathom.scale.pool` does, without Ray."""

    def __init__(self) -> None:
        self.ledgers: list[Ledger] = []

    def shared_ledger(self, bounds: BoundSettings, settings: RaySettings) -> Ledger:
        self.ledgers.append(Ledger(bounds))
        return self.ledgers[-1]

    def completed(
        self, job: Job, shards: Sequence[int], settings: RaySettings, ledger: Callable[[], Ledger] | None = None
    ) -> Iterator[Report | str]:
        told = ledger() if ledger else self.shared_ledger(job.task.bounds, settings)

        async def call(method: str, *arguments: Any) -> Any:
            return getattr(told, method)(*arguments)

        for shard in reversed(shards):  # workers finish in any order
            content = (job.out / PLAN).read(f"{shard_name(shard)}.jsonl")
            with tempfile.TemporaryDirectory() as local:
                try:
                    yield asyncio.run(work_on(job, shard, content, open_engine(job.task.engine), call, Path(local)))
                except FathomError as error:
                    yield str(error)


@pytest.fixture(autouse=True)
def pool(monkeypatch: pytest.MonkeyPatch) -> InProcess:
    pool = InProcess()
    monkeypatch.setattr("fathom.scale.running.completed", pool.completed)
    monkeypatch.setattr("fathom.scale.pool.shared_ledger", pool.shared_ledger)
    return pool


def fathom(*given: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(each) for each in given])
    assert (result.exit_code or 0) == code, f"{result.output} {result.exception!r}"
    return result


# Benchmarks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Examples of a benchmark of pairs and of one of lists, which a judge of pairs ranks."""
    for name in ("judgebench", "jetts"):
        write_example(bench.find(name), tmp_path / "data" / name)
    return tmp_path / "data"


def test_benchmarks_have_the_rows_and_the_scores_of_one_machine(data: Path, tmp_path: Path, pool: InProcess) -> None:
    command = ["eval", "judgebench", "jetts", "--data", data, *JUDGE]
    one = fathom(*command, "--out", tmp_path / "one")
    many = fathom(*command, "--out", tmp_path / "many", *RAY)
    assert many.stdout == one.stdout, "the same tables"
    assert len(pool.ledgers) == 1, "bounds hold over all benchmarks together"
    for name in ("judgebench", "jetts"):
        fathom("export", tmp_path / "many" / name, "--out", tmp_path / f"{name}.jsonl")
        assert (tmp_path / f"{name}.jsonl").read_bytes() == (tmp_path / "one" / f"{name}.jsonl").read_bytes()
        summary = runs.open(tmp_path / "many" / name).meta["summary"]
        assert summary == runs.open(tmp_path / "one" / f"{name}.jsonl").meta["summary"]


def test_a_bound_that_a_benchmark_reaches_ends_the_run_and_a_higher_one_resumes_it(data: Path, tmp_path: Path) -> None:
    command = ["eval", "judgebench", "jetts", "--data", data, *JUDGE, "--max-tokens", 9, "--out", tmp_path, *RAY]
    stopped = fathom(*command, "--max-total-tokens", 4000, code=1)
    assert "does not cover the next completion" in str(stopped.exception)
    assert "repeat the command to resume" in str(stopped.exception)
    assert runs.open(tmp_path / "judgebench").meta["summary"], "the first benchmark had been finished"
    segments = set((tmp_path / "jetts" / "journal").rglob("*.parquet"))
    assert segments
    fathom(*command)
    assert segments < set((tmp_path / "jetts" / "journal").rglob("*.parquet"))
