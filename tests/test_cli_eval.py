"""`fathom eval`: rows of a benchmark, its official figures from these rows alone, and what made them."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fathom import bench
from fathom.cli import app
from fathom.engines.openai import OpenAIEngine
from fathom.errors import FathomError
from fathom.results import runs
from serving import Server, chat, serving
from test_bench import write_example
from tiny import make_classifier


def fathom(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Examples of a benchmark of pairs and one of best-of-n, and what the small model made of them."""
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    data, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("runs")
    for name in ("judgebench", "jetts"):
        write_example(bench.find(name), data / name)
    (data / "jetts" / "notes.txt").write_text("not read")
    options = ("--model", "mini", "--style", "breadth", "--max-tokens", 40, "--limit", 2)
    fathom("judgebench", "jetts", "--data", data, "--out", out, *options)
    return data, out


@pytest.mark.parametrize("name", ["judgebench", "jetts"])
def test_the_score_told_is_that_of_the_rows_written(folders: tuple[Path, Path], name: str) -> None:
    run = runs.open(folders[1] / f"{name}.jsonl")
    score = bench.find(name).score(run.rows())
    told = run.meta["summary"]["score"]
    assert told["figures"] == {figure: list(interval) for figure, interval in score.figures.items()}
    assert (told["rows"], told["failed"], told["unparsed"]) == (2, 0, score.unparsed)


def test_pairs_become_verdicts_in_both_orders_and_lists_become_rankings(folders: tuple[Path, Path]) -> None:
    pairs, lists = (list(runs.open(folders[1] / f"{name}.jsonl").rows()) for name in ("judgebench", "jetts"))
    assert [[vote["order"] for vote in row["votes"]] for row in pairs] == [[[0, 1], [1, 0]]] * 2
    assert [len(row["pairs"]) for row in lists] == [6, 6]  # 4 * 3 / 2


def test_the_files_read_are_hashed_and_no_others(folders: tuple[Path, Path]) -> None:
    inputs = runs.open(folders[1] / "jetts.jsonl").meta["inputs"]
    assert set(inputs) == {str(folders[0] / "jetts" / name) for name in bench.find("jetts").example}


def test_the_same_command_again_reads_the_journal_and_writes_the_same_bytes(folders: tuple[Path, Path]) -> None:
    data, out = folders
    before = (out / "judgebench.jsonl").read_bytes()
    options = ("--style", "breadth", "--max-tokens", 40, "--limit", 2)
    replay = fathom("judgebench", "--data", data, "--out", out, "--model", "mini", *options)
    assert (out / "judgebench.jsonl").read_bytes() == before
    assert "no scored rows in Reasoning, Coding" in " ".join(replay.stdout.split())


def test_a_scalar_reward_model_is_evaluated_without_code_of_its_own(folders: tuple[Path, Path], tmp_path: Path) -> None:
    options = ("--data", folders[0], "--model", make_classifier(tmp_path / "model"), "--out", tmp_path / "out")
    fathom("judgebench", "jetts", *options, "--judge", "scalar")
    for name in ("judgebench", "jetts"):
        run = runs.open(tmp_path / "out" / f"{name}.jsonl")
        rows = list(run.rows())
        assert rows
        assert all(row["winner"] == row["scores"].index(max(row["scores"])) for row in rows)
        assert run.meta["summary"]["score"]["rows"] == len(rows)


def test_without_names_every_benchmark_is_described() -> None:
    told = fathom().stdout
    for name in bench.names():
        benchmark = bench.find(name)
        assert f"{name}: {benchmark.title}" in told
        assert benchmark.official in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("chess", "--model", "mini"), "there is no benchmark 'chess'"),
        (("judgebench",), "--model is missing"),
        (("llmbar", "--model", "mini"), "give its files with --data FOLDER: .*Natural"),
    ],
    ids=["unknown", "no model", "not on the hub"],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(FathomError, match=message):
        fathom(*arguments)


def test_a_folder_without_the_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(FathomError, match="no file matches"):
        fathom("judgebench", "--data", tmp_path, "--model", "mini")


def test_meta_holds_the_benchmark_and_plain_json(folders: tuple[Path, Path]) -> None:
    meta = json.loads((folders[1] / "judgebench.jsonl.meta.json").read_text())
    assert meta["config"]["benchmark"] == "judgebench"
    assert set(meta["summary"]) == {"score", "domains"}


def test_several_benchmarks_load_a_local_model_once(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fathom.engines import local

    loaded: list[str] = []
    load = local.load
    monkeypatch.setattr(local, "load", lambda name, *rest, **more: loaded.append(name) or load(name, *rest, **more))
    options = ("--model", "mini", "--style", "breadth", "--max-tokens", 40, "--limit", 1)
    fathom("judgebench", "jetts", "--data", folders[0], "--out", tmp_path, *options)
    assert len(loaded) == 1
    assert all(runs.open(tmp_path / f"{name}.jsonl").meta["summary"] for name in ("judgebench", "jetts"))


def test_what_is_to_be_spent_at_most_is_for_all_benchmarks_together(folders: tuple[Path, Path], tmp_path: Path) -> None:
    options = ("--data", folders[0], "--model", "mini", "--style", "breadth", "--max-tokens", 40, "--limit", 1)
    fathom("judgebench", "--out", tmp_path / "one", *options)
    (row,) = runs.open(tmp_path / "one" / "judgebench.jsonl").rows()
    spent = sum(row["tokens"].values())
    with pytest.raises(FathomError, match="tokens of the allowed"):
        fathom("judgebench", "jetts", "--out", tmp_path / "all", *options, "--max-total-tokens", spent + spent // 4)
    assert (tmp_path / "all" / "judgebench.jsonl").exists()
    assert not (tmp_path / "all" / "jetts.jsonl").exists()


def test_several_benchmarks_start_vllm_once_and_end_it(
    folders: tuple[Path, Path], checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vllm_standin

    for name in ("vllm", "vllm.sampling_params"):
        monkeypatch.setitem(sys.modules, name, vllm_standin)
    started: list[vllm_standin.AsyncLLMEngine] = []
    start = vllm_standin.AsyncLLMEngine.from_engine_args
    monkeypatch.setattr(
        vllm_standin.AsyncLLMEngine, "from_engine_args", lambda given: started.append(start(given)) or started[-1]
    )
    options = ("--engine", "vllm", "--model", checkpoint, "--prompt", "trained", "--max-tokens", 4, "--limit", 1)
    fathom("judgebench", "jetts", "--data", folders[0], "--out", tmp_path, *options)
    [engine] = started
    assert engine.errored, "its processes are ended"
    votes = [vote for name in ("judgebench", "jetts") for vote in _votes(tmp_path / f"{name}.jsonl")]
    assert "failed" not in {vote["status"] for vote in votes}


def test_several_benchmarks_ask_a_server_through_one_engine(
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recwarn: pytest.WarningsRecorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made: list[OpenAIEngine] = []
    make = OpenAIEngine.__init__
    monkeypatch.setattr(
        OpenAIEngine, "__init__", lambda engine, *given, **named: made.append(engine) or make(engine, *given, **named)
    )

    async def run() -> Server:
        async with serving(lambda _: chat("Final verdict: [[A]]")) as server:
            options = ("--model", "m", "--base-url", server.url, "--limit", 1)
            names = ("judgebench", "jetts")
            await asyncio.to_thread(fathom, *names, "--data", folders[0], "--out", tmp_path, *options)
            return server

    server = asyncio.run(run())
    assert len(made) == 1
    assert len(server.calls) == 2 + 12
    votes = [vote for name in ("judgebench", "jetts") for vote in _votes(tmp_path / f"{name}.jsonl")]
    assert {vote["status"] for vote in votes} == {"ok"}
    assert not [warning for warning in recwarn if "unclosed" in str(warning.message).lower()]
    assert "Unclosed" not in caplog.text


def test_what_is_wrong_with_any_benchmark_or_judge_is_said_before_a_model_is_loaded(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    options = ("--data", folders[0] / "judgebench", "--out", tmp_path / "out", "--model", "m")
    with pytest.raises(FathomError, match=r"no file matches"):
        fathom("judgebench", "jetts", "--engine", "oracle", *options)
    with pytest.raises(FathomError, match="expected a higher temperature"):
        fathom("judgebench", "--engine", "oracle", "--votes", 2, *options)
    assert not (tmp_path / "out").exists()


def _votes(path: Path) -> list[dict[str, object]]:
    judged = [each for row in runs.open(path).rows() for each in row.get("pairs", [row])]
    return [vote for each in judged for vote in each["votes"]]
