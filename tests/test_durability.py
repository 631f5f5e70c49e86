"""Runs that are killed, interrupted, doubled or short of disk: nothing finished is lost, no result is half one."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import resource
import signal
import sqlite3
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from fathom import sandbox
from fathom.cli import app
from serving import HANG, Answer, Call, Reply, Seeded, Server, chat, serving

Start = Callable[..., Coroutine[Any, Any, Process]]


IGNORING = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
PATIENT = "import fathom.engines.cache as cache; cache.LANDING_SECONDS = 60"


def pairs(folder: Path, rows: int) -> Path:
    path = folder / "pairs.jsonl"
    row = {"response_a": "yes", "response_b": "no", "label": "A"}
    path.write_text("".join(json.dumps(row | {"id": str(n), "prompt": f"Task {n}"}) + "\n" for n in range(rows)))
    return path


def arguments(file: Path, url: str, out: Path, concurrency: int = 8) -> list[str]:
    engine = ["--engine", "openai", "--base-url", url, "--model", "m", "--engine-option", f"concurrency={concurrency}"]
    return ["judge", str(file), *engine, "--no-swap", "--no-hedge", "--out", str(out)]


async def started(*given: str, before: str = "", **options: Any) -> Process:
    """`fathom` in a process of its own, which runs the statements `before` first."""
    program = f"from fathom.cli import main; {before}; main()" if before else "from fathom.cli import main; main()"
    return await asyncio.create_subprocess_exec(sys.executable, "-c", program, *given, stderr=PIPE, **options)


async def finished(process: Process) -> str:
    _, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    return " ".join(stderr.decode().split())


async def until(happened: Callable[[], bool], process: Process) -> None:
    while process.returncode is None and not happened():
        await asyncio.sleep(0.002)


def stored(journal: Path) -> int:
    if not journal.exists():
        return 0
    with sqlite3.connect(journal) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'completions'").fetchone()[0]
        return int(connection.execute("SELECT count(*) FROM completions").fetchone()[0]) if tables else 0


def with_server(answer: Answer, use: Callable[[Server], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with serving(answer) as server:
            await use(server)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kills", "rows"), [(3, 200), pytest.param(20, 1000, marks=pytest.mark.slow)], ids=["3 kills", "20 kills"]
)
def test_a_run_killed_at_any_point_asks_nothing_stored_again_and_ends_with_the_same_bytes(
    kills: int, rows: int, tmp_path: Path
) -> None:
    file, whole, out = pairs(tmp_path, rows), tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    journal = tmp_path / "killed.jsonl.journal"

    async def use(server: Server) -> None:
        await finished(await started(*arguments(file, server.url, whole)))
        server.calls.clear()
        lost = 0
        for point in sorted(random.Random(kills).sample(range(1, rows), kills)):
            run = await started(*arguments(file, server.url, out))
            await until(lambda point=point, lost=lost: len(server.calls) >= point + lost, run)  # type: ignore[misc]
            run.kill()
            await run.communicate()
            assert not out.exists()
            lost = len(server.calls) - stored(journal)
        await finished(await started(*arguments(file, server.url, out)))
        assert len(server.calls) == rows + lost
        assert out.read_bytes() == whole.read_bytes()
        await finished(await started(*arguments(file, server.url, out)))
        assert len(server.calls) == rows + lost, "a run that is finished asks nothing"

    with_server(Seeded(latency=0.01), use)


class Labeling(NamedTuple):
    """A run of `fathom label` whose server gives one of `texts` to each call, chosen by a hash of the call."""

    options: str
    texts: Sequence[str]
    steps: Sequence[str] = ("2 + 2 = 4", "4 + 2 = 6", "6 - 1 = 5", "The answer is 5.")
    reference: str = "5"
    splitter: str = "paragraphs"
    problems: int = 10
    kills: int = 1

    def source(self, path: Path) -> Path:
        joint = "" if self.splitter == "lines" else "\n\n"
        row = {"responses": [joint.join(self.steps)], "steps": [self.steps], "reference": self.reference}
        rows = (row | {"id": str(n), "prompt": f"Task {n}"} for n in range(self.problems))
        path.write_text("".join(json.dumps(each) + "\n" for each in rows))
        return path

    def arguments(self, file: Path, url: str, out: Path) -> list[str]:
        engine = ["--base-url", url, "--model", "m", "--engine-option", "concurrency=8", "--no-hedge"]
        engine += ["--engine-option", "continue_final_message=true"]
        return ["label", str(file), *self.options.split(), "--split", self.splitter, *engine, "--out", str(out)]

    def answer(self, call: Call) -> Reply:
        number = int.from_bytes(hashlib.sha256(call.content).digest()[:4])
        return chat(self.texts[number % len(self.texts)], delay=0.01)


ROLLOUTS = ("The answer is 5.", "The answer is 6.")
CRITIQUES = (r"All follow. \boxed{-1}", r"Paragraph 1 is wrong. \boxed{1}", r"The last one is wrong. \boxed{3}")
PROGRAM = ("def total(numbers):\n", "    result = sum(numbers)\n", "    return result")
JUDGE = "--method judge --method-option votes=3"
LABELINGS = {
    "monte-carlo": Labeling("--method monte-carlo --checker exact", ROLLOUTS, kills=2),
    "merged steps": Labeling("--method monte-carlo --checker exact --merge 0.5", ROLLOUTS),
    "grounded": Labeling("--method grounded --checker exact", ROLLOUTS),
    "several prompts": Labeling(
        f"{JUDGE} --method-option prompts=[recompute,reverse] --method-option check_outcome=true --checker exact",
        CRITIQUES,
    ),
    "reviews": Labeling(f"{JUDGE} --method-option revise=true --method-option merge=outcome", CRITIQUES),
    "unit tests": Labeling(
        "--method monte-carlo --method-option rollouts=4 --checker unit-tests",
        ("    return sum(numbers)", "    return 0"),
        PROGRAM,
        "assert total([1, 2]) == 3",
        "lines",
        problems=3,
    ),
}


@pytest.mark.parametrize("name", LABELINGS)
def test_labeling_killed_at_any_point_asks_nothing_stored_again_and_ends_with_the_same_bytes(
    name: str, tmp_path: Path
) -> None:
    if name == "unit tests" and not sandbox.available():
        pytest.skip("this system offers no sandbox")
    if name == "grounded":
        pytest.importorskip("z3")
    labeling = LABELINGS[name]
    file, whole, out = labeling.source(tmp_path / "solutions.jsonl"), tmp_path / "whole", tmp_path / "killed"
    journal = out / "journal.sqlite"

    async def use(server: Server) -> None:
        async def label(folder: Path) -> None:
            result = await asyncio.to_thread(CliRunner().invoke, app, labeling.arguments(file, server.url, folder))
            assert result.exit_code == 0, result.output

        await label(whole)
        calls = len(server.calls)
        assert stored(whole / "journal.sqlite") == calls, "every call is kept, of whatever kind"
        server.calls.clear()
        for kill in range(1, labeling.kills + 1):
            run = await started(*labeling.arguments(file, server.url, out))
            await until(lambda kill=kill: stored(journal) >= calls * kill // (labeling.kills + 1), run)  # type: ignore[misc]
            run.kill()
            await run.communicate()
            assert run.returncode == -signal.SIGKILL, "it was still running"
            assert not (out / "labels.jsonl").exists()
        lost = len(server.calls) - stored(journal)
        await label(out)
        assert len(server.calls) == calls + lost, "only what was in flight is asked again"
        for written in ("labels.jsonl", "rejected.jsonl"):
            assert (out / written).read_bytes() == (whole / written).read_bytes()
        rows = [json.loads(line) for line in (out / "labels.jsonl").read_text().splitlines()]
        assert len({json.dumps([row["label"], row["metadata"]]) for row in rows}) > 1, "what is known of steps differs"

    with_server(labeling.answer, use)


@pytest.mark.parametrize(
    ("number", "before"),
    [
        pytest.param(signal.SIGINT, "", id="ctrl-c"),
        pytest.param(signal.SIGTERM, "", id="sigterm"),
        # A child inherits ignored signals, for example if the tests run under nohup.
        pytest.param(signal.SIGHUP, "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)", id="sighup"),
        pytest.param(signal.SIGTERM, IGNORING, id="sigterm where ctrl-c is ignored"),
    ],
)
def test_whatever_ends_a_run_says_how_to_go_on_and_leaves_nothing_half_written(
    number: signal.Signals, before: str, tmp_path: Path
) -> None:
    file, out, rows = pairs(tmp_path, 40), tmp_path / "verdicts.jsonl", 40

    async def use(server: Server) -> None:
        run = await started(*arguments(file, server.url, out), before=f"{PATIENT}; {before}" if before else PATIENT)
        await until(lambda: len(server.calls) >= 16, run)
        run.send_signal(number)
        _, stderr = await run.communicate()
        assert " ".join(stderr.decode().split()).endswith(f"{out}.journal: repeat the command to resume")
        assert "Traceback" not in stderr.decode()
        assert run.returncode == 128 + number
        assert 16 <= stored(tmp_path / "verdicts.jsonl.journal") == len(server.calls) < rows
        left = {path.name.removesuffix("-wal").removesuffix("-shm") for path in tmp_path.iterdir()}
        assert left == {"pairs.jsonl", "verdicts.jsonl.journal"}
        await finished(await started(*arguments(file, server.url, out)))
        assert len(server.calls) == rows

    with_server(Seeded(latency=0.2), use)  # slow enough to be in flight at Ctrl-C


def test_who_ignores_hangups_goes_on(tmp_path: Path) -> None:
    file, out = pairs(tmp_path, 40), tmp_path / "verdicts.jsonl"

    async def use(server: Server) -> None:
        ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
        run = await started(*arguments(file, server.url, out), before=ignoring)
        await until(lambda: len(server.calls) >= 8, run)
        run.send_signal(signal.SIGHUP)
        await finished(run)

    with_server(Seeded(latency=0.05), use)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("library", ["typer", "pydantic", "fathom.cli.train"])
def test_ending_while_the_program_is_still_loaded_shows_no_traceback(library: str, number: signal.Signals) -> None:
    program = f"""
import os, sys
class Amid:
    def find_spec(self, name, *_):
        if name == {library!r}:
            os.kill(os.getpid(), {int(number)})
sys.meta_path.insert(0, Amid())
sys.argv[1:] = ["--version"]
from fathom.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == (130 if number == signal.SIGINT else -signal.SIGTERM)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    patient = (
        "import sys, fathom.engines.cache as cache; cache.LANDING_SECONDS = 3600; land = cache.CachedEngine._land; "
        "cache.CachedEngine._land = lambda self, seconds: "
        "(print('landing', file=sys.stderr, flush=True), land(self, seconds))[1]"
    )

    async def use(server: Server) -> None:
        file, out = pairs(tmp_path, 20), tmp_path / "verdicts.jsonl"
        run = await started(*arguments(file, server.url, out), before=patient)
        await until(lambda: len(server.calls) >= 8, run)
        run.send_signal(signal.SIGINT)
        assert run.stderr is not None
        # Signals that come before the first is handled would be one.
        await asyncio.wait_for(run.stderr.readuntil(b"landing\n"), 60)
        run.send_signal(signal.SIGINT)
        _, stderr = await asyncio.wait_for(run.communicate(), 60)
        assert run.returncode == 130
        assert "Traceback" not in stderr.decode()

    with_server(lambda _: HANG, use)


def test_of_two_processes_with_one_out_the_second_is_refused_and_pays_nothing(tmp_path: Path) -> None:
    file, whole, out = pairs(tmp_path, 60), tmp_path / "whole.jsonl", tmp_path / "twice.jsonl"

    async def use(server: Server) -> None:
        await finished(await started(*arguments(file, server.url, whole)))
        server.calls.clear()
        first = await started(*arguments(file, server.url, out))
        await until(lambda: len(server.calls) > 0, first)
        first.send_signal(signal.SIGSTOP)
        second = await started(*arguments(file, server.url, out))
        _, stderr = await second.communicate()
        assert second.returncode == 1
        assert f"is being written by process {first.pid} on " in " ".join(stderr.decode().split())
        first.send_signal(signal.SIGCONT)
        await finished(first)
        assert out.read_bytes() == whole.read_bytes()
        assert len(server.calls) == 60
        await finished(await started(*arguments(file, server.url, out)))
        assert len(server.calls) == 60, "afterwards the second finds all in the journal"
        assert sorted(tmp_path.glob(".*")) == [], "no lock is left"

    with_server(Seeded(latency=0.01), use)


@pytest.mark.parametrize("journal", [None, ":memory:"], ids=["while the journal is written", "while verdicts are"])
def test_a_full_disk_is_said_and_leaves_the_old_file_as_it_was(journal: str | None, tmp_path: Path) -> None:
    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    async def use(server: Server) -> None:
        out = tmp_path / "verdicts.jsonl"
        out.write_text("old\n")
        given = [*arguments(pairs(tmp_path, 200), server.url, out), "--force"]
        given += ["--journal", journal] if journal else []
        run = await started(*given, preexec_fn=full)
        _, stderr = await run.communicate()
        assert run.returncode == 1
        assert "Traceback" not in stderr.decode()
        assert "fathom: " in stderr.decode()
        assert out.read_text() == "old\n"
        assert [path.name for path in tmp_path.glob("*.tmp")] == []

    with_server(Seeded(latency=0.001), use)


def test_the_results_are_the_same_bytes_whatever_the_concurrency(tmp_path: Path) -> None:
    file = pairs(tmp_path, 80)

    async def use(server: Server) -> None:
        for concurrency in (1, 8, 64):
            given = arguments(file, server.url, tmp_path / f"{concurrency}.jsonl", concurrency)
            result = await asyncio.to_thread(CliRunner().invoke, app, given, catch_exceptions=False)
            assert result.exit_code == 0

    with_server(Seeded(latency=0.002, errors=0.1), use)
    one, eight, many = ((tmp_path / f"{concurrency}.jsonl").read_bytes() for concurrency in (1, 8, 64))
    assert one == eight == many
    assert one.count(b"\n") == 80
    assert {json.loads(line)["status"] for line in one.splitlines()} == {"ok"}


PARTS = """
import sys
import time
from pathlib import Path
from fathom.data.atomic import atomic_write

FOLDER = Path(sys.argv[1])

def work(number):
    with atomic_write(FOLDER / f"{number}.jsonl"):
        (FOLDER / f"begun-{number}").touch()
        time.sleep(600)

if __name__ == "__main__":
    from fathom.cli._signals import end_as_interrupted
    from fathom.lab.experiments.processes import side_by_side

    end_as_interrupted()
    try:
        list(side_by_side(work, [(number,) for number in range(1, 9)]))
    except KeyboardInterrupt:
        print("stopped")
"""


def test_the_processes_of_an_experiment_end_with_it_and_leave_nothing_half_written(tmp_path: Path) -> None:
    program, folder = tmp_path / "parts.py", tmp_path / "made"
    program.write_text(PARTS)
    folder.mkdir()

    async def ended() -> None:
        run = await asyncio.create_subprocess_exec(sys.executable, str(program), str(folder), stdout=PIPE)
        await until(lambda: any(folder.glob("begun-*")), run)
        run.send_signal(signal.SIGTERM)
        stdout, _ = await asyncio.wait_for(run.communicate(), 120)  # the end of the pipe is the end of all who hold it
        assert stdout == b"stopped\n"

    asyncio.run(ended())
    assert any(folder.glob("begun-*"))
    assert [path.name for path in folder.iterdir() if path.name.endswith((".tmp", ".jsonl"))] == []
