"""Verbs with `--ray`, whose shards are worked on in this process: what they write is what one machine writes.

`tests/test_ray.py` runs the same commands on Ray.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fathom import bench
from fathom.cli import app
from fathom.data.reading import read, write_jsonl
from fathom.data.records import Comparison, Label
from fathom.engines.opening import open_engine
from fathom.errors import FathomError
from fathom.lab import world
from fathom.labelers import Labelled, Tools
from fathom.labelers.monte_carlo import MonteCarlo
from fathom.results import runs
from fathom.scale.ledger import Ledger
from fathom.scale.plan import PLAN, Report, Settled, shard_name
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
        self,
        job: Job,
        shards: Sequence[int],
        settings: RaySettings,
        progress: Callable[[Settled], None],
        ledger: Callable[[], Ledger] | None = None,
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
            progress(told.progress(job.identity).settled)


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


def test_a_bound_holds_over_all_benchmarks_of_a_run(data: Path, tmp_path: Path) -> None:
    command = ["eval", "judgebench", "jetts", "--data", data, *JUDGE, "--max-tokens", 9, "--out", tmp_path, *RAY]
    stopped = fathom(*command, "--max-total-tokens", 4000, code=1)
    assert "does not cover the next completion" in str(stopped.exception)
    assert "repeat the command to resume" in str(stopped.exception)
    assert runs.open(tmp_path / "judgebench").meta["summary"], "the first benchmark had been finished"
    assert list((tmp_path / "jetts" / "journal").rglob("*.parquet")), "the second one had begun"


# Labels ---------------------------------------------------------------------------------------------------------------

POLICY = ["--engine", f"{ENGINES}:policy"]


def solutions(folder: Path) -> Path:
    """Five problems of two solutions with labels."""
    steps = (("2 + 3 = 5.", r"So it is \boxed{5}."), ("2 + 3 = 6.", r"So it is \boxed{6}."))
    responses, label = tuple(map("\n\n".join, steps)), Label(steps=((1.0, 1.0), (0.0, None)))
    problems = [
        Comparison(id=f"s{n}", prompt=f"2 + 3? ({n})", responses=responses, steps=steps, reference="5", label=label)
        for n in range(5)
    ]
    write_jsonl(folder / "solutions.jsonl", problems)
    return folder / "solutions.jsonl"


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


@pytest.mark.parametrize("method", ["monte-carlo", "omegaprm", "judge", "fover"])
def test_labels_are_those_of_one_machine_by_every_kind_of_method(method: str, tmp_path: Path) -> None:
    engine = {"fover": [], "judge": ["--engine", f"{ENGINES}:step_judge"]}.get(method, POLICY)
    command = ["label", solutions(tmp_path), "--method", method, "--checker", "exact", *engine]
    fathom(*command, "--out", tmp_path / "one")
    fathom(*command, "--out", tmp_path / "many", *RAY)
    for name in ("labels.jsonl", "rejected.jsonl"):
        assert (tmp_path / "many" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    one, many = manifest(tmp_path / "one"), manifest(tmp_path / "many")
    assert one["solutions"]["labelled"] >= 5
    assert one["agreement"] or method == "omegaprm", "it makes solutions of its own, which the file does not label"
    for name in ("labeler", "solutions", "steps", "agreement", "cost"):
        assert many[name] == one[name]


def test_a_problem_that_raises_an_error_is_set_aside_and_the_next_run_labels_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["label", solutions(tmp_path), "--method", "monte-carlo", "--checker", "exact", *POLICY]
    label, asked = MonteCarlo.label, []

    async def fails(labeler: MonteCarlo, problem: Comparison, tools: Tools) -> list[Labelled]:
        asked.append(problem.id)
        if problem.id == "s3" and asked.count("s3") == 1:
            raise ValueError("a task that no one has met")
        return await label(labeler, problem, tools)

    monkeypatch.setattr(MonteCarlo, "label", fails)
    out = tmp_path / "out"
    stopped = fathom(*command, "--out", out, *RAY, code=1)
    assert "1 of 5 rows failed" in str(stopped.exception)
    assert [json.loads(line)["id"] for line in (out / "set-aside.jsonl").open()] == ["s3"]
    assert [row.id for row in read(out / "labels.jsonl") if row.id.startswith("s3")] == []
    before, asked[:] = (out / "labels.jsonl").read_bytes(), ["s3"]
    fathom(*command, "--out", out, *RAY)
    assert asked == ["s3", "s2", "s3"], "only the shard of that problem was worked on again"
    fathom(*command, "--out", tmp_path / "one")
    assert (out / "labels.jsonl").read_bytes() == (tmp_path / "one" / "labels.jsonl").read_bytes() != before
    assert not (out / "set-aside.jsonl").exists()


def test_problems_without_a_reference_are_refused_before_any_call(tmp_path: Path) -> None:
    file = tmp_path / "solutions.jsonl"
    write_jsonl(file, [Comparison(id="a", prompt="2 + 3?", responses=("5",))])
    refused = fathom("label", file, "--method", "monte-carlo", *POLICY, *RAY, "--out", tmp_path / "out", code=1)
    assert "has no reference answer" in str(refused.exception)


# Rationales -----------------------------------------------------------------------------------------------------------

TEACHER = ["--engine", "mini-teacher", "--engine-option", "messiness=0.5", "--engine-option", "mistakes=0.3"]


def test_rationales_are_those_of_one_machine_with_principles_named_alike_in_all_shards(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "pairs.jsonl", [item.comparison for item in world.items(9, seed=1)])
    command = [
        "synth",
        tmp_path / "pairs.jsonl",
        *TEACHER,
        "--arm",
        "mix",
        "--arm",
        "vanilla",
        "--filter",
        "consistent",
    ]
    one = fathom(*command, "--out", tmp_path / "one")
    many = fathom(*command, "--out", tmp_path / "many", *RAY)
    assert many.stdout == one.stdout
    for name in ("mix.jsonl", "vanilla.jsonl", "rejected.jsonl"):
        content = (tmp_path / "one" / name).read_bytes()
        assert content
        assert (tmp_path / "many" / name).read_bytes() == content
    first, second = manifest(tmp_path / "one"), manifest(tmp_path / "many")
    for name in ("accuracy", "completions", "tokens", "rejected"):
        assert second[name] == first[name]


def test_results_at_an_address_are_those_of_a_path(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    write_jsonl(tmp_path / "pairs.jsonl", [item.comparison for item in world.items(3, seed=1)])
    command = ["synth", tmp_path / "pairs.jsonl", *TEACHER, *RAY, "--out"]
    fathom(*command, tmp_path / "out")
    fathom(*command, "memory://run")
    system = fsspec.filesystem("memory")
    assert system.cat_file("/run/mix.jsonl") == (tmp_path / "out" / "mix.jsonl").read_bytes()
    assert json.loads(system.cat_file("/run/manifest.json"))["parts"] == manifest(tmp_path / "out")["parts"]
    system.store.clear()


def test_an_arm_without_a_teacher_and_a_journal_are_refused(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "pairs.jsonl", [item.comparison for item in world.items(1, seed=1)])
    command = ["synth", tmp_path / "pairs.jsonl", *RAY, "--out", tmp_path / "out"]
    refused = fathom(*command, "--arm", "verifier", code=1)
    assert "--ray has no effect with --arm verifier" in str(refused.exception)
    refused = fathom(*command, *TEACHER, "--journal", tmp_path / "j", code=1)
    assert "has no effect with --ray" in str(refused.exception)
