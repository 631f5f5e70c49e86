"""Runs that join a cluster of Ray, whose nodes are processes of this machine: nodes join and die, bounds, killers."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from fathom.scale.segments import SEGMENT_ROWS
from serving import Answer, Call, Reply, Seeded, Server, chat, serving
from test_ray import IN_FLIGHT, PLAIN, exported, finished, judging, pairs, started

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="as tests/test_ray.py")]
pytest.importorskip("ray", reason='needs pip install "fathom-rm[ray]"')


@contextmanager
def answering(answer: Answer) -> Iterator[Server]:
    """A server in a thread, whose answers the test can change."""
    loop, context = asyncio.new_event_loop(), serving(answer)
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result()
        yield server
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster whose first node has no CPUs: drivers run there, and workers on nodes that the test adds."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # the names of Ray's sockets must be short
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


def node(cluster: Any, monkeypatch: pytest.MonkeyPatch, local: Path, cpus: int = 1) -> Any:
    """A new node, whose workers keep their files in `local`."""
    local.mkdir()
    with monkeypatch.context() as environment:
        environment.setenv("TMPDIR", str(local))
        return cluster.add_node(num_cpus=cpus)


def joining(cluster: Any, out: object, workers: int, shard_rows: int) -> list[object]:
    return ["--ray", "--ray-address", cluster.address, "--workers", workers, "--shard-rows", shard_rows, "--out", out]


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait for a condition. Fails if the run ends before."""
    while not condition():
        assert process.poll() is None, "the run has ended too early"
        time.sleep(0.02)


def test_a_run_waits_for_a_node_uses_one_that_joins_and_ends_by_itself_when_one_dies(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The dead node's local folder is lost, too. Progress counts rows, not shards."""
    file, one, out = pairs(tmp_path, 1000), tmp_path / "one.jsonl", tmp_path / "parts"
    places, errors = (tmp_path / "first", tmp_path / "second"), tmp_path / "errors"
    hurry = Event()

    def answer(call: Call) -> Reply:
        return replace(Seeded()(call), delay=0.05 if hurry.is_set() else 1.0)

    impatient = (
        "from fathom.cli import _progress; from fathom.scale import pool; "
        "_progress.EVERY_SECONDS = 1; pool.PATIENCE = 2.0; " + PLAIN
    )
    with answering(answer) as server, errors.open("w") as log:
        command = [*judging(file, server.url), *joining(cluster, out, 2, 100)]
        arguments = [sys.executable, "-c", impatient, *map(str, command)]
        with subprocess.Popen(arguments, stderr=log, text=True) as process:
            until(lambda: "no worker has begun after 2 seconds" in errors.read_text(), process)
            nodes = []
            for place in places:
                nodes.append(node(cluster, monkeypatch, place))
                until(lambda: list(place.rglob("*.journal")), process)  # noqa: B023 - called at once
            hurry.set()
            point = len(server.calls) + 200
            until(lambda: len(server.calls) >= point, process)
            cluster.remove_node(nodes[0], allow_graceful=False)
            shutil.rmtree(places[0])
        assert process.returncode == 0, errors.read_text()
        made = len(server.calls)
        finished(started(PLAIN, *judging(file, server.url, in_flight=64), "--out", one))
    assert exported(out) == one.read_bytes()
    assert 0 <= made - 1000 <= IN_FLIGHT + SEGMENT_ROWS
    shown = [int(number) for number in re.findall(r"judged: (\d+) of 1000", errors.read_text())]
    assert any(number % 100 for number in shown), "only whole shards were counted"


def test_a_bound_holds_over_the_workers_of_a_cluster_and_the_next_run_goes_on(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each answer reports a usage of 1,000 tokens. Results are written to a `file://` address."""
    node(cluster, monkeypatch, tmp_path / "local", cpus=4)
    file, out, bound = pairs(tmp_path, 300), tmp_path / "parts", 150_000
    body = json.loads(chat("Final verdict: [[A]]").body)
    body["usage"] = {"prompt_tokens": 990, "completion_tokens": 10, "total_tokens": 1000}
    with answering(lambda _: Reply(body=json.dumps(body).encode(), delay=0.05)) as server:
        command = [*judging(file, server.url), *joining(cluster, f"file://{out}", 4, 20)]
        stopped = started(PLAIN, *command, "--max-total-tokens", bound)
        _, errors = stopped.communicate(timeout=580)
        assert stopped.returncode == 1, errors
        assert "the budget of all workers does not cover the next completion" in errors
        assert "repeat the command to resume" in errors
        asked = len(server.calls)
        assert bound / 2 < 1000 * asked <= bound
        finished(started(PLAIN, *command))
        assert 300 <= len(server.calls) <= 300 + 4 * IN_FLIGHT
    assert exported(out).count(b"\n") == 300


ENGINE = """
from fathom import ScriptedEngine

def judge():
    def answer(request):
        if "Task 7\\n" in request.messages[-1]["content"]:
            os._exit(1)
        return "Final verdict: [[A]]"
    return ScriptedEngine(answer, "deadly")
"""


def test_a_comparison_that_ends_the_process_of_its_worker_is_set_aside(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node(cluster, monkeypatch, tmp_path / "local", cpus=2)
    file, out, engine = pairs(tmp_path, 300), tmp_path / "parts", tmp_path / "deadly.py"
    engine.write_text(ENGINE)
    command = ["judge", file, "--engine", f"{engine}:judge", "--no-swap", *joining(cluster, out, 2, 50)]
    ended = started(PLAIN, *command)
    _, errors = ended.communicate(timeout=580)
    assert ended.returncode == 3, errors  # some rows failed
    assert "1 of 300 rows failed" in errors
    [aside] = map(json.loads, (out / "set-aside.jsonl").read_text().splitlines())
    assert (aside["shard"], aside["index"], aside["id"]) == (0, 7, "7")
    rows = map(json.loads, exported(out).splitlines())
    assert [row["id"] for row in rows] == [str(number) for number in range(300) if number != 7]
