"""Many machines without Ray: segments, the budget, plans, and shards judged in one process."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fathom.cli import app
from fathom.data.folders import Folder
from fathom.data.records import Comparison, Label
from fathom.engines import BaseEngine, Completion, EngineError, Request, RunStoppedError
from fathom.engines.journal import JournalError, Row
from fathom.engines.metering import Price, SpentError
from fathom.engines.usage import Usage
from fathom.errors import FathomError
from fathom.judging.session import Session
from fathom.results import parts, runs
from fathom.scale import plan as planning
from fathom.scale import pool
from fathom.scale.budget import Amount, Borrower, Budget
from fathom.scale.judging import JudgeTask
from fathom.scale.ledger import TRIES, Ledger, Progress
from fathom.scale.plan import Plan, Report, Settled, read_plan, read_reports, write_plan
from fathom.scale.running import identity_of, planned, write_manifest
from fathom.scale.segments import SegmentedJournal, decode, encode, stored
from fathom.scale.work import JOURNAL, Job, work_on
from fathom.settings import BoundSettings, EngineSettings, JudgingSettings, RaySettings, VotingSettings
from strategies import comparisons

A = "Principle 1: Accuracy\nJudgment: Response A is right, Response B is not.\nVerdict: A\n\nFinal verdict: [[A]]"


class Judging(BaseEngine):
    """Answers A at 10 tokens a call. Raises what `fails` has for a prompt that contains its key."""

    identity = "judging"

    def __init__(self, fails: dict[str, BaseException] | None = None) -> None:
        self.fails = fails or {}
        self.calls: list[str] = []

    async def complete(self, request: Request) -> Completion:
        prompt = request.messages[-1]["content"]
        self.calls.append(prompt)
        await asyncio.sleep(0)
        for text, error in self.fails.items():
            if text in prompt:
                raise error
        return Completion(A, "stop", Usage(6, 4))


def tasks(n: int) -> list[Comparison]:
    return [
        Comparison(id=str(k), prompt=f"Task <{k}>", responses=("yes", "no"), label=Label(best=k % 2)) for k in range(n)
    ]


def judging(**settings: Any) -> JudgingSettings:
    return JudgingSettings(engine=EngineSettings(model="judging"), voting=VotingSettings(swap=False), **settings)


def job_in(folder: Path, **settings: Any) -> Job:
    return Job(JudgeTask(judging(**settings)), Folder.at(folder / "out"), "identity")


class InProcess:
    """The ledger as workers reach it."""

    def __init__(self, bounds: BoundSettings | None = None) -> None:
        self.ledger = Ledger(bounds or BoundSettings())

    async def __call__(self, method: str, *arguments: Any) -> Any:
        await asyncio.sleep(0)
        return getattr(self.ledger, method)(*arguments)


def worked(job: Job, shard: int, items: list[Comparison], engine: BaseEngine, ledger: InProcess, local: Path) -> Report:
    return asyncio.run(work_on(job, shard, planning.encode(items), engine, ledger, local))


# Folders --------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["path", "address"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    """A folder of this machine, and one of fsspec."""
    if request.param == "path":
        yield Folder.at(tmp_path / "folder")
        return
    fsspec = pytest.importorskip("fsspec")
    yield Folder.at(f"memory://{tmp_path.name}")
    fsspec.filesystem("memory").store.clear()


def test_a_folder_lists_what_was_written_and_a_file_can_be_replaced_and_removed(folder: Folder) -> None:
    assert folder.names() == []
    folder.write("b", b"1")
    folder.write("a", b"2")
    folder.write("a", b"3")
    (folder / "c").write("inner", b"4")
    assert folder.names() == ["a", "b", "c"]
    assert folder.read("a") == b"3"
    assert (folder / "c").read("inner") == b"4"
    folder.remove("b")
    folder.remove("b")
    assert folder.names() == ["a", "c"]


def test_an_address_keeps_its_slashes_through_a_path() -> None:
    pytest.importorskip("fsspec")
    assert Folder.at(Path("memory://bucket/run")).address == "memory://bucket/run"
    for address in ("file:///data/run", Path("file:///data/run")):
        assert Folder.at(address).path == Path("/data/run")
    with pytest.raises(FathomError, match=r"cannot open nothing://there: .*expected a path or an address"):
        Folder.at("nothing://there")


def test_a_file_whose_writer_was_killed_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / ".000000.parquet.host-1.tmp").write_bytes(b"half")
    assert Folder.at(tmp_path).names() == []


# Segments -------------------------------------------------------------------------------------------------------------


def rows_of(numbers: Iterator[int], n: int) -> list[Row]:
    return [Row(f"key{k}", f'{{"k":{k}}}', f'{{"text":"{k}"}}') for k, _ in zip(numbers, range(n), strict=False)]


SQLITE_ENGINE = Judging()
STEPS = st.lists(st.integers(1, 7) | st.sampled_from(["kill", "lose", "close"]), max_size=12)


@given(STEPS)
def test_a_completion_in_a_segment_is_found_by_every_later_worker(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | str]
) -> None:
    """`kill` ends the worker's process, `lose` also its disk; a segment has 5 rows."""
    place, numbers, written = tmp_path_factory.mktemp("shard"), count(), list[Row]()
    folder, local = Folder.at(place / "segments"), place / "local.journal"

    def opened() -> SegmentedJournal:
        return SegmentedJournal(folder, local, SQLITE_ENGINE, rows=5, seconds=3600)

    journal = opened()
    for step in steps:
        if isinstance(step, int):
            new = rows_of(numbers, step)
            journal.write(new)
            written += new
            continue
        segmented = set(stored(folder))
        if step == "close":
            journal.close()
            segmented = set(written)
        else:
            journal._local.close()  # the operating system closes the file of a killed process
            assert len(written) - len(segmented) < 5, "more than a segment was not yet written"
        if step == "lose":
            local.unlink(missing_ok=True)
            written = [row for row in written if row in segmented]
        journal = opened()
        assert set(stored(folder)) == set(written), "a worker with its disk repeats nothing, one without only the rest"
        assert journal.find([row.key for row in written]) == [row.completion for row in written]
    journal.close()
    assert set(stored(folder)) == set(written)
    assert journal.folder.names() == sorted(set(journal.folder.names()))


def test_a_segment_is_written_by_its_time_too(tmp_path: Path) -> None:
    journal = SegmentedJournal(Folder.at(tmp_path / "s"), tmp_path / "local", SQLITE_ENGINE, seconds=0.01)
    [row] = rows_of(count(), 1)
    journal.write([row])
    timer = journal._timer
    if timer is not None:
        timer.join()
    assert list(stored(journal.folder)) == [row]
    journal.close()


def test_two_workers_of_one_shard_do_not_overwrite_each_other(tmp_path: Path) -> None:
    folder, numbers = Folder.at(tmp_path / "s"), count()
    workers = [SegmentedJournal(folder, tmp_path / name, SQLITE_ENGINE) for name in "ab"]
    batches = [rows_of(numbers, 3) for _ in workers]
    for worker, rows in zip(workers, batches, strict=True):
        worker.write(rows)
        worker.close()
    assert sorted(stored(folder)) == sorted([*batches[0], *batches[1]])


def test_a_segment_that_cannot_be_written_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "blocked").write_bytes(b"a file where the folder should be")
    journal = SegmentedJournal(Folder.at(tmp_path / "blocked"), tmp_path / "local", SQLITE_ENGINE, rows=1)
    with pytest.raises(JournalError, match="could not be written"):
        journal.write(rows_of(count(), 1))


def test_a_damaged_segment_is_named(tmp_path: Path) -> None:
    rows = rows_of(count(), 3)
    assert decode(encode(rows), "here") == rows
    with pytest.raises(FathomError, match="here is not a segment"):
        decode(encode(rows)[:-9], "here")


# The budget -----------------------------------------------------------------------------------------------------------

REQUEST = Request(({"role": "user", "content": "x" * 30},))


@given(
    bound=st.integers(0, 3000),
    workers=st.integers(1, 4),
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    deaths=st.sets(st.integers(0, 3)),
)
def test_workers_together_spend_no_more_than_the_bound(
    bound: int, workers: int, sizes: list[int], deaths: set[int]
) -> None:
    """The largest call is known from the start here, so that no call is larger than expected."""
    budget, spent = Budget(max_tokens=bound), [0]
    waiting, largest = iter(sizes), Amount(max(sizes))

    async def lend(call: Amount) -> Amount | None:
        await asyncio.sleep(0)
        return budget.lend(call)

    async def worker(number: int) -> None:
        borrower = Borrower(lend, largest=largest)

        async def call() -> None:
            for size in waiting:
                await borrower.admit(REQUEST)
                await asyncio.sleep(0)
                borrower.charge(REQUEST, Usage(size, 0), "")
                spent[0] += size

        for ended in await asyncio.gather(call(), call(), call(), return_exceptions=True):
            assert ended is None or isinstance(ended, SpentError), ended
        if number not in deaths:
            budget.give_back(borrower.unused)

    async def run() -> None:
        await asyncio.gather(*map(worker, range(workers)))

    asyncio.run(run())
    assert spent[0] <= bound
    assert spent[0] <= budget.lent.tokens <= bound, "what dead workers held counts as spent"
    if spent[0] < sum(sizes) and not deaths & set(range(workers)):
        assert bound - spent[0] < largest.tokens * (3 * workers + 1) + bound / 8, "most of the bound can be used"


def test_a_bound_on_cost_holds_over_calls_of_other_sizes_than_the_first() -> None:
    budget = Budget(max_cost=1.0)
    price = Price(prompt=10_000, completion=10_000)  # a cent a token

    async def lend(call: Amount) -> Amount | None:
        return budget.lend(call)

    async def run() -> int:
        borrower, spent = Borrower(lend, price, largest=Amount(1, 0.01)), 0
        for size in [1, 2, 3] * 100:
            try:
                await borrower.admit(REQUEST)
            except SpentError:
                return spent
            borrower.charge(REQUEST, Usage(size, 0), "")
            spent += size
        raise AssertionError("the bound did not hold")

    assert 90 <= asyncio.run(run()) <= 100


def test_the_first_call_must_be_covered_at_its_maximum_size() -> None:
    async def lend(call: Amount) -> Amount | None:
        return Budget(max_tokens=100).lend(call)

    with pytest.raises(SpentError, match="does not cover"):
        asyncio.run(Borrower(lend).admit(REQUEST))  # 18 tokens of prompt, and up to 2048 of text


# Plans ----------------------------------------------------------------------------------------------------------------


@given(st.lists(comparisons(), max_size=5))
def test_a_comparison_goes_through_a_shard_unchanged(items: list[Comparison]) -> None:
    assert list(planning.decode(planning.encode(items))) == items


def test_a_plan_is_used_again_and_one_of_other_settings_is_kept_unless_forced(tmp_path: Path) -> None:
    out = Folder.at(tmp_path)
    first = planned(tasks(5), out, "one", 2)
    assert first == Plan("one", rows=5, shards=3) == read_plan(out)
    assert planned([], out, "one", 2) == first
    with pytest.raises(FathomError, match="contains results of other settings"):
        planned(tasks(3), out, "two", 2)
    assert planned(tasks(3), out, "two", 2, force=True) == Plan("two", rows=3, shards=2)
    assert (out / "plan").names() == ["plan.json", "shard-000000.jsonl", "shard-000001.jsonl"]


def test_a_plan_whose_writing_was_interrupted_is_written_again(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Comparison]:
        yield from tasks(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_plan(interrupted(), Folder.at(tmp_path), "one", 1)
    assert read_plan(Folder.at(tmp_path)) is None
    assert planned(tasks(2), Folder.at(tmp_path), "one", 1).rows == 2


def test_the_identity_of_a_run_is_that_of_its_settings_and_of_the_content_of_its_inputs(tmp_path: Path) -> None:
    file, same, other = (tmp_path / name for name in "abc")
    file.write_bytes(b"1")
    same.write_bytes(b"1")
    other.write_bytes(b"2")
    assert identity_of({"a": 1}, [file]) == identity_of({"a": 1}, [same])
    assert len({identity_of({"a": 1}, [file]), identity_of({"a": 2}, [file]), identity_of({"a": 1}, [other])}) == 3


# Shards ---------------------------------------------------------------------------------------------------------------


def judged_on_one_machine(items: list[Comparison], engine: BaseEngine) -> list[bytes]:
    import io

    from fathom.judging import write_verdicts

    sink = io.BytesIO()

    async def run() -> None:
        async with Session(judging(), engine=engine) as session:
            async for _ in write_verdicts(session.reward_model, items, sink, {}):
                pass

    asyncio.run(run())
    return sink.getvalue().splitlines()


def test_parts_hold_the_bytes_of_one_machine_in_the_order_of_the_source(tmp_path: Path) -> None:
    job, items = job_in(tmp_path), tasks(10)
    expected = judged_on_one_machine(items, Judging({"<4>": EngineError("no")}))
    for shard in (2, 0, 1):  # as workers finish, in any order
        worked(job, shard, items[4 * shard : 4 * shard + 4], Judging({"<4>": EngineError("no")}), InProcess(), tmp_path)
    assert [line for line, _ in parts.lines(tmp_path / "out")] == expected
    reports = read_reports(job.out, Plan("identity", 10, 3))
    assert [reports[shard].rows for shard in range(3)] == [4, 4, 2]
    assert [shard for shard in range(3) if not reports[shard].is_final] == [1], "a failed call is tried again"


def test_a_second_worker_makes_only_the_calls_that_failed(tmp_path: Path) -> None:
    job, engine = job_in(tmp_path), Judging({"<1>": EngineError("no")})
    worked(job, 0, tasks(4), engine, InProcess(), tmp_path / "here")
    again = Judging()
    assert worked(job, 0, tasks(4), again, InProcess(), tmp_path / "elsewhere").is_final
    assert len(again.calls) == 1
    assert "<1>" in again.calls[0]


def test_a_comparison_that_raises_an_error_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    job, out = job_in(tmp_path), tmp_path / "out"
    engine = Judging({"<2>": ValueError("a template that divides by zero")})
    report = worked(job, 0, tasks(4), engine, InProcess(), tmp_path)
    assert report.rows == 3
    [aside] = report.set_aside
    assert (aside.index, aside.id) == (2, "2")
    assert "divides by zero" in aside.reason
    write_manifest(job.out, [report], {"config": {}})
    assert json.loads((out / "set-aside.jsonl").read_text())["id"] == "2"
    assert [row["id"] for row in runs.open(out).rows()] == ["0", "1", "3"]


def test_a_comparison_that_ends_its_worker_is_found_and_set_aside(tmp_path: Path) -> None:
    class Dies(BaseException):
        """Not caught by anything, as a process does not survive a segmentation fault."""

    job, ledger, engine = job_in(tmp_path), InProcess(), Judging({"<2>": Dies()})
    for _ in range(TRIES + 1):
        with pytest.raises(Dies):
            worked(job, 0, tasks(4), engine, ledger, tmp_path)
    report = worked(job, 0, tasks(4), engine, ledger, tmp_path)
    assert [(each.id, each.reason) for each in report.set_aside] == [
        ("2", "the worker died while it worked on this comparison alone")
    ]
    assert report.rows == 3


def test_a_worker_tells_what_it_has_settled_while_it_works_and_one_that_starts_again_counts_from_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fathom.scale.work.TELL_SECONDS", 0)
    seen: list[Progress] = []

    class Watched(InProcess):
        async def __call__(self, method: str, *arguments: Any) -> Any:
            result = await super().__call__(method, *arguments)
            seen.append(self.ledger.progress("identity"))
            return result

    job, ledger = job_in(tmp_path), Watched()
    engine = Judging({"<2>": EngineError("no"), "<3>": ValueError("a template that divides by zero")})
    worked(job, 0, tasks(4), engine, ledger, tmp_path)
    assert [each.settled.rows for each in seen] == [0, 1, 2, 3, 4, 4, 4]
    assert seen[-1] == Progress(begun=1, settled=Settled(rows=4, unparsed=2, failed=2, tokens=20))
    assert ledger.ledger.progress("another plan") == Progress(0, Settled())
    ledger.ledger.begin(job.place(0))
    assert ledger.ledger.progress("identity").settled.rows == 0
    worked(job, 1, tasks(4), Judging(), ledger, tmp_path)
    assert seen[-1] == Progress(begun=2, settled=Settled(rows=4, unparsed=0, failed=0, tokens=40))


def test_the_driver_tells_progress_while_it_waits_and_warns_once_if_nothing_begins(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pool, "PATIENCE", 0.0)
    asked, told, reached = count(), list[int](), Event()

    def ask() -> Progress:
        number = next(asked)
        return Progress(begun=number // 3, settled=Settled(rows=number))

    def tell(settled: Settled) -> None:
        told.append(settled.rows)
        if settled.rows == 5:
            reached.set()

    with pool.polled(ask, tell, lambda: "no worker has begun", every=0.001):
        assert reached.wait(60)
    assert told == list(range(len(told))), "in order, and once more at the end"
    assert [record.message for record in caplog.records] == ["no worker has begun"]


def test_progress_that_cannot_be_asked_for_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Event()

    def ask() -> Progress:
        if asked.is_set():
            return Progress(1, Settled(rows=7))
        asked.set()
        raise RuntimeError("the ledger is gone")

    told: list[int] = []
    with pool.polled(ask, lambda settled: told.append(settled.rows), str, every=0.001):
        assert asked.wait(60)
    assert told == [7]


def test_what_ends_a_run_on_one_machine_ends_all_workers_and_is_told_to_the_next(tmp_path: Path) -> None:
    job, ledger = job_in(tmp_path), InProcess()
    with pytest.raises(FathomError, match="the key is refused"):
        worked(job, 0, tasks(4), Judging({"<1>": RunStoppedError("the key is refused")}), ledger, tmp_path)
    other = Judging()
    with pytest.raises(RunStoppedError, match="the key is refused"):
        worked(job, 1, tasks(4), other, ledger, tmp_path)
    assert other.calls == []


def test_a_run_ends_before_its_bound_and_goes_on_with_a_higher_one(tmp_path: Path) -> None:
    def run(tokens: int) -> Judging:
        job, engine = job_in(tmp_path, bounds=BoundSettings(max_total_tokens=tokens)), Judging()
        ledger = InProcess(job.task.bounds)
        for shard in range(3):
            try:
                worked(job, shard, tasks(100)[shard * 30 : shard * 30 + 30], engine, ledger, tmp_path)
            except RunStoppedError:
                break
        return engine

    first = run(2600)  # the first call must be covered at its maximum size, of 2048 tokens and its prompt
    assert 0 < len(first.calls) * 10 <= 2600
    assert len(first.calls) < 90
    second = run(10_000)
    assert len(first.calls) + len(second.calls) == 90
    assert not set(first.calls) & set(second.calls)


# Reading parts --------------------------------------------------------------------------------------------------------


@dataclass
class Finished:
    parts: Path
    file: Path


@pytest.fixture
def finished(tmp_path: Path) -> Finished:
    """The same run as a folder of parts and as a file."""
    job, items = job_in(tmp_path), tasks(12)
    reports = [worked(job, k, items[5 * k : 5 * k + 5], Judging(), InProcess(), tmp_path) for k in range(3)]
    write_manifest(job.out, reports, {"config": {"model": "judging"}, "written": "today"})
    file = tmp_path / "one.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in judged_on_one_machine(items, Judging())))
    return Finished(tmp_path / "out", file)


def fathom(*given: object) -> str:
    result = CliRunner().invoke(app, [str(each) for each in given], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_export_of_parts_is_the_file_of_one_machine(finished: Finished, tmp_path: Path) -> None:
    fathom("export", finished.parts, "--out", tmp_path / "rows.jsonl")
    assert (tmp_path / "rows.jsonl").read_bytes() == finished.file.read_bytes()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_export_of_parts_to_a_table_is_that_of_the_file(suffix: str, finished: Finished, tmp_path: Path) -> None:
    tables = [tmp_path / f"{name}.{suffix}" for name in ("parts", "file")]
    for source, table in zip((finished.parts, finished.file), tables, strict=True):
        fathom("export", source, "--out", table)
    assert tables[0].read_bytes() == tables[1].read_bytes()


def test_score_view_report_and_compare_read_parts_as_a_run(finished: Finished, tmp_path: Path) -> None:
    scores = {}
    for run in (finished.parts, finished.file):
        fathom("score", run, "--json", tmp_path / "score.json", "--force")
        [scores[run]] = json.loads((tmp_path / "score.json").read_text()).values()
    assert scores[finished.parts] == scores[finished.file]
    fathom("view", finished.parts, "--out", tmp_path / "view.html")
    fathom("report", finished.parts, "--out", tmp_path / "report.html")
    assert "judging" in (tmp_path / "report.html").read_text()
    assert "12" in fathom("compare", finished.parts, finished.file)
    assert "judging" in fathom("runs", tmp_path, "--json")


def test_typed_columns_of_a_part_repeat_its_rows(finished: Finished) -> None:
    from pyarrow import parquet

    table = parquet.read_table(finished.parts / "parts" / "part-000001.parquet")
    assert table.column_names == list(parts.COLUMNS)
    assert table.column("correct").to_pylist() == [
        json.loads(row)["correct"] for row in table.column("row").to_pylist()
    ]
    assert str(table.schema.field("scores").type) == "list<element: double>"


def test_a_damaged_part_is_named(finished: Finished) -> None:
    part = finished.parts / "parts" / "part-000001.parquet"
    part.write_bytes(part.read_bytes()[:-8])
    with pytest.raises(FathomError, match=r"part-000001.parquet is not a part of a run"):
        list(runs.open(finished.parts).rows())


# Settings -------------------------------------------------------------------------------------------------------------


def test_an_option_of_ray_without_ray_is_refused() -> None:
    with pytest.raises(ValueError, match="--workers 4 has no effect without --ray"):
        RaySettings(workers=4)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "--ray writes a folder"),
        (["--out", "out", "--journal", "j"], "--journal j has no effect with --ray"),
    ],
)
def test_ray_without_a_folder_or_with_a_journal_is_refused(more: list[str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps({"prompt": "2 + 2?", "response_a": "4", "response_b": "5"}))
    given = ["judge", str(file), "--model", "m", "--base-url", "http://127.0.0.1:9/v1", "--ray", *more]
    with pytest.raises(FathomError, match=message):
        CliRunner().invoke(app, given, catch_exceptions=False)


def test_a_lost_local_folder_costs_at_most_what_no_segment_has(tmp_path: Path) -> None:
    """A worker is stopped after half of its calls, as if killed, and its machine is lost."""

    class Killed(BaseException):
        pass

    job, engine = job_in(tmp_path), Judging({"<299>": Killed()})
    with pytest.raises(Killed):
        worked(job, 0, tasks(400), engine, InProcess(), tmp_path / "local")
    segmented = len(list(stored(job.out / JOURNAL / "shard-000000")))
    shutil.rmtree(tmp_path / "local")
    again = Judging()
    worked(job, 0, tasks(400), again, InProcess(), tmp_path / "local")
    assert len(again.calls) == 400 - segmented
