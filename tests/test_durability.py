"""Runs that are killed, interrupted, doubled or short of disk: nothing finished is lost, no result is half one."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fathom.cli import app
from serving import HANG, Answer, Seeded, Server, serving

Start = Callable[..., Coroutine[Any, Any, Process]]


def pairs(folder: Path, rows: int) -> Path:
    path = folder / "pairs.jsonl"
    row = {"response_a": "yes", "response_b": "no", "label": "A"}
    path.write_text("".join(json.dumps(row | {"id": str(n), "prompt": f"Task {n}"}) + "\n" for n in range(rows)))
    return path


def arguments(file: Path, url: str, out: Path, concurrency: int = 8) -> list[str]:
    engine = ["--engine", "openai", "--base-url", url, "--model", "m", "--engine-option", f"concurrency={concurrency}"]
    return ["judge", str(file), *engine, "--no-swap", "--out", str(out)]


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


def test_ctrl_c_asks_nothing_new_and_what_is_in_flight_lands(tmp_path: Path) -> None:
    file, out, rows = pairs(tmp_path, 60), tmp_path / "verdicts.jsonl", 60
    journal = tmp_path / "verdicts.jsonl.journal"
    patient = "import fathom.engines.cache as cache; cache.LANDING_SECONDS = 60"

    async def use(server: Server) -> None:
        run = await started(*arguments(file, server.url, out), before=patient)
        await until(lambda: len(server.calls) >= 20, run)
        run.send_signal(signal.SIGINT)
        _, stderr = await run.communicate()
        said = " ".join(stderr.decode().split())
        assert run.returncode == 130
        assert f"{journal}: give the same command again" in said
        assert "Traceback" not in said
        assert 20 <= stored(journal) == len(server.calls) < rows
        assert not out.exists()
        await finished(await started(*arguments(file, server.url, out)))
        assert len(server.calls) == rows

    with_server(Seeded(latency=0.2), use)  # slow enough to be in flight at Ctrl-C


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
