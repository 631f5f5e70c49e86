"""Runs on Ray, which is really started: the bytes of one machine, and nothing lost when workers and drivers are killed.

Ray is told of 8 CPUs, and a worker takes half of one, so that the server's 50 ms and not the processor are the limit.
"""

from __future__ import annotations

import inspect
import itertools
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fathom import bench
from fathom.cli import app
from fathom.data.folders import Folder
from fathom.data.reading import write_jsonl
from fathom.data.records import Comparison
from fathom.lab import world
from fathom.results import runs
from fathom.scale.segments import SEGMENT_ROWS, stored
from test_bench import write_example
from test_docs import blocks, printed

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find workers")]
pytest.importorskip("ray", reason='needs pip install "fathom-rm[ray]"')

IN_FLIGHT = 8
"""Calls in flight of a worker."""
PLAIN = "from fathom.cli import main; main()"


def on_cpus(number: int) -> str:
    """A program that starts Ray with this number of CPUs, whatever clusters this machine has, before `fathom`."""
    ray = f"'local', num_cpus={number}, include_dashboard=False, log_to_driver=False, logging_level='warning'"
    return f"import ray; ray.init({ray}); {PLAIN}"


START = on_cpus(8)


@contextmanager
def server(**settings: float) -> Iterator[str]:
    command = [sys.executable, str(Path(__file__).with_name("serving.py")), json.dumps(settings)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


def calls(url: str) -> int:
    with urllib.request.urlopen(url) as answer:
        return int(json.load(answer)["calls"])


def pairs(folder: Path, rows: int) -> Path:
    path = folder / "pairs.jsonl"
    row = {"response_a": "yes", "response_b": "no", "label": "A"}
    path.write_text("".join(json.dumps(row | {"id": str(n), "prompt": f"Task {n}"}) + "\n" for n in range(rows)))
    return path


def started(program: str, *given: object, local: Path | None = None) -> subprocess.Popen[str]:
    """`fathom` in a process of its own, whose errors go to a file beside --out."""
    # Ray's own folder stays where it is: the names of its sockets must be short.
    environment = os.environ | ({"TMPDIR": str(local), "RAY_TMPDIR": "/tmp"} if local else {})
    arguments = [sys.executable, "-c", program, *map(str, given)]
    return subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=580)
    assert process.returncode == 0, errors
    return errors


def judging(file: Path, url: str, in_flight: int = IN_FLIGHT) -> list[object]:
    engine = ["--engine", "openai", "--base-url", url, "--model", "m", "--engine-option", f"concurrency={in_flight}"]
    return ["judge", file, *engine, "--no-swap", "--no-hedge"]


def on_ray(out: Path, workers: int, shard_rows: int = 250) -> list[object]:
    return ["--ray", "--workers", workers, "--worker-cpus", 0.5, "--shard-rows", shard_rows, "--out", out]


def exported(out: Path) -> bytes:
    file = out.with_suffix(".exported.jsonl")
    finished(started(PLAIN, "export", out, "--out", file, "--force"))
    return file.read_bytes()


def test_two_and_four_workers_write_the_bytes_of_one_machine_and_a_second_run_makes_no_call(tmp_path: Path) -> None:
    file, one = pairs(tmp_path, 10_000), tmp_path / "one.jsonl"
    with server(latency=0.05) as url:
        finished(started(PLAIN, *judging(file, url, in_flight=64), "--out", one))
        assert calls(url) == 10_000
        for runs, workers in enumerate((2, 4), 2):
            out = tmp_path / f"parts-{workers}"
            finished(started(START, *judging(file, url), *on_ray(out, workers)))
            assert calls(url) == runs * 10_000
            assert exported(out) == one.read_bytes()
        finished(started(START, *judging(file, url), *on_ray(out, 4)))
        assert calls(url) == 30_000


def test_by_default_a_machine_of_two_processors_judges_all_rows(tmp_path: Path) -> None:
    """The two workers then reserve all CPUs, and none is left to read the shards."""
    file, out = pairs(tmp_path, 40), tmp_path / "parts"
    with server() as url:
        finished(started(on_cpus(2), *judging(file, url), "--ray", "--shard-rows", 10, "--out", out))
        assert calls(url) == 40
    assert exported(out).count(b"\n") == 40


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:123456"])
def test_an_address_without_a_cluster_is_an_error_that_names_the_option(tmp_path: Path, address: str) -> None:
    # Hides clusters of other programs, which Ray finds by the names of all processes.
    hidden = "services.find_gcs_addresses = functools.cache(set)"
    alone = f"import functools; import ray._private.services as services; {hidden}; {PLAIN}"
    command = ["judge", pairs(tmp_path, 1), "--model", "m", "--base-url", "http://127.0.0.1:9/v1", "--ray"]
    arguments = [
        sys.executable,
        "-c",
        alone,
        *map(str, command),
        "--ray-address",
        address,
        "--out",
        str(tmp_path / "o"),
    ]
    environment = os.environ | {"RAY_TMPDIR": str(tmp_path)}
    ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 1
    assert f"cannot connect to Ray at {address}" in ended.stderr
    assert "check --ray-address" in ended.stderr


# Other verbs ----------------------------------------------------------------------------------------------------------

ENGINES = Path(__file__).with_name("hashing.py")
EACH = (
    "import json, sys; from typer.testing import CliRunner; from fathom.cli import app\n"
    "for command in json.loads(sys.argv[1]):\n"
    "    result = CliRunner().invoke(app, command)\n"
    "    if result.exception: raise result.exception\n"
)
"""Runs several commands in one process."""


def of_every_kind(folder: Path) -> dict[str, list[str]]:
    """Commands by the names of their outputs, without --out."""
    write_example(bench.find("judgebench"), folder / "judgebench")
    write_jsonl(folder / "pairs.jsonl", [item.comparison for item in world.items(40, seed=1)])
    problems = [
        Comparison(id=f"s{n}", prompt=f"2 + 3? ({n})", responses=("2 + 3 = 5.\n\nSo it is 5.",), reference="5")
        for n in range(20)
    ]
    write_jsonl(folder / "solutions.jsonl", problems)
    label = ["label", f"{folder}/solutions.jsonl", "--engine", f"{ENGINES}:policy", "--method"]
    return {
        "eval": ["eval", "judgebench", "--data", f"{folder}", "--engine", f"{ENGINES}:judge"],
        "monte-carlo": [*label, "monte-carlo"],
        "omegaprm": [*label, "omegaprm", "--method-option", "searches=5"],
        "synth": ["synth", f"{folder}/pairs.jsonl", "--engine", "mini-teacher"],
    }


def test_benchmarks_labels_and_rationales_are_those_of_one_machine(tmp_path: Path) -> None:
    """All verbs in one process, which starts Ray once. Answers are checked by math-verify, in processes of workers."""
    commands = of_every_kind(tmp_path)
    on_many = ["--ray", "--workers", "2", "--worker-cpus", "0.5", "--shard-rows", "5"]
    one = [[*command, "--out", f"{tmp_path}/one-{name}"] for name, command in commands.items()]
    many = [[*command, "--out", f"{tmp_path}/many-{name}", *on_many] for name, command in commands.items()]
    finished(started(EACH, json.dumps(one)))
    finished(started(START.partition("from fathom")[0] + EACH, json.dumps(many)))
    assert exported(tmp_path / "many-eval" / "judgebench") == (tmp_path / "one-eval" / "judgebench.jsonl").read_bytes()
    written = {
        **dict.fromkeys(("monte-carlo", "omegaprm"), ("labels.jsonl", "rejected.jsonl")),
        "synth": ("mix.jsonl", "rejected.jsonl"),
    }
    for name, files in written.items():
        first, second = (tmp_path / f"{how}-{name}" for how in ("one", "many"))
        assert (first / files[0]).stat().st_size
        for file in files:
            assert (second / file).read_bytes() == (first / file).read_bytes()


# Kills ----------------------------------------------------------------------------------------------------------------


def descendants(of: int) -> Iterator[int]:
    """Process ids of the children of a process, of their children, and so on."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        parents.setdefault(int(fields[1]), []).append(int(folder.name))
    waiting = [of]
    while waiting:
        children = parents.get(waiting.pop(), [])
        yield from children
        waiting += children


def workers_of(driver: int) -> list[int]:
    found = []
    for process in descendants(driver):
        try:
            name = Path(f"/proc/{process}/cmdline").read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::MapWorker"):
            found.append(process)
    return found


def in_segments(out: Path) -> int:
    """The number of different completions in written segments."""
    journal = out / "journal"
    shards = [path.name for path in journal.iterdir()] if journal.is_dir() else []
    return len({row.key for shard in shards for row in stored(Folder.at(journal) / shard)})


def reached(process: subprocess.Popen[str], url: str, before: int, point: int) -> bool:
    """Wait until `point` calls were made after `before`, or the run has ended."""
    while process.poll() is None:
        if calls(url) - before >= point:
            return True
        time.sleep(0.02)
    return False


def ended(processes: list[int]) -> None:
    for process in processes:
        while Path(f"/proc/{process}").exists():
            time.sleep(0.02)


@pytest.mark.parametrize("kills", [10])
def test_nothing_in_a_segment_is_asked_again_after_kills_of_workers_and_drivers(kills: int, tmp_path: Path) -> None:
    """At each point a worker is killed, a while later the driver, and then the folder of all workers is deleted.

    Each kill may repeat what was in flight, and what was not yet in a segment of the workers concerned.
    """
    rows, workers = 6000, 2
    rng = random.Random(0)
    file, out, local = pairs(tmp_path, rows), tmp_path / "parts", tmp_path / "local"
    one = tmp_path / "one.jsonl"
    repeated = worker_kills = 0
    with server(latency=0.05) as url:
        finished(started(PLAIN, *judging(file, url, in_flight=64), "--out", one))
        first = calls(url)
        for _ in range(kills):
            local.mkdir(exist_ok=True)
            before, kept = calls(url), in_segments(out)
            process = started(START, *judging(file, url), *on_ray(out, workers), local=local)
            if not reached(process, url, before, rng.randrange(50, 300)):
                finished(process)  # shows why, unless all rows were judged before the last kill
                break
            victims = workers_of(process.pid)
            if victims:
                os.kill(rng.choice(victims), signal.SIGKILL)
                worker_kills += 1
            reached(process, url, before, rng.randrange(350, 600))
            left = workers_of(process.pid)
            process.kill()
            process.communicate()
            ended(left)
            shutil.rmtree(local)
            asked, new = calls(url) - before, in_segments(out) - kept
            assert in_segments(out) >= kept, "a segment was lost"
            assert asked - new <= (workers + 1) * (SEGMENT_ROWS + IN_FLIGHT)
            repeated += asked - new
        assert worker_kills >= kills // 2, "the drill killed too few workers"
        local.mkdir(exist_ok=True)
        finished(started(START, *judging(file, url), *on_ray(out, workers), local=local))
        total = calls(url) - first
    assert exported(out) == one.read_bytes()
    assert total == rows + repeated, "the last run repeated something"
    print(f"{kills} drivers and {worker_kills} workers killed: {repeated} calls repeated of {rows}")  # noqa: T201


# ray.data.llm ---------------------------------------------------------------------------------------------------------


def test_the_program_of_the_page_completes_all_calls_of_a_run_by_an_engine_processor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The processor is a stand-in with the signature of `ray.data.llm.build_processor`, and the rows of its vLLM."""
    import ray
    import ray.data.llm

    built = itertools.count()

    def build_processor(
        config: Any,
        preprocess: Any = None,
        postprocess: Any = None,
        preprocess_map_kwargs: Any = None,
        postprocess_map_kwargs: Any = None,
        builder_kwargs: Any = None,
    ) -> Any:
        broken = "Task 3" if next(built) == 0 else "no task"

        def engine(row: dict[str, Any]) -> dict[str, Any]:
            assert row["sampling_params"]["max_tokens"] == 2048
            prompt = row["messages"][-1]["content"]
            text = f"Final verdict: [[{'A' if prompt.index('yes') < prompt.index('no') else 'B'}]]"
            counts = {"num_input_tokens": 5, "num_generated_tokens": 9}
            error = "out of memory" if broken in prompt else ""
            return {**row, "generated_text": text, **counts, "__inference_error__": error}

        def finish(row: dict[str, Any]) -> Any:
            return row if row["__inference_error__"] else postprocess(row)  # as `ray.data.llm` does

        return lambda dataset: dataset.map(preprocess).map(engine).map(finish)

    real = list(inspect.signature(ray.data.llm.build_processor).parameters)
    assert list(inspect.signature(build_processor).parameters) == real
    monkeypatch.setattr(ray.data.llm, "build_processor", build_processor)
    monkeypatch.chdir(tmp_path)
    pairs(tmp_path, 5)
    page = (Path(__file__).parent.parent / "docs" / "ray.md").read_text(encoding="utf-8")
    _, section = page.split("## Engine processors")
    program, command = blocks(section)[:2]
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        assert printed(program.text) == "8 completions"
        assert printed(program.text) == "2 completions", "those that failed"
        segments = sorted((tmp_path / "verdicts" / "journal").rglob("*.parquet"))
        result = CliRunner().invoke(app, shlex.split(command.text)[1:], catch_exceptions=False)
    finally:
        ray.shutdown()
    assert result.exit_code == 0, result.output
    assert [row["winner"] for row in runs.open("verdicts").rows()] == [0] * 5
    assert sorted((tmp_path / "verdicts" / "journal").rglob("*.parquet")) == segments, "the run made a call"
