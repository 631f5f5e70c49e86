"""The replay engine: what was recorded is all there is, and all of it."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fathom import engines
from fathom.cli import app
from fathom.engines import BaseEngine, Completion, EngineError, Request, Sampling
from fathom.engines.cache import CachedEngine
from fathom.engines.replay import ReplayEngine
from fathom.engines.usage import Usage
from fathom.errors import FathomError

PAIRS = Path(__file__).parent.parent / "examples" / "pairs.jsonl"


class Echo(BaseEngine):
    def __init__(self, identity: str) -> None:
        self.identity = identity

    async def complete(self, request: Request) -> Completion:
        return Completion(f"{self.identity}: {request.messages[0]['content']}", usage=Usage(1, 2), reasoning="so")


def ask(text: str, sample: int = 0) -> Request:
    return Request(({"role": "user", "content": text},), Sampling(seed=3), sample)


def record(path: Path, identity: str, *texts: str) -> list[Completion]:
    async def run() -> list[Completion]:
        async with CachedEngine(Echo(identity), path) as cached:
            return [await cached.complete(ask(text)) for text in texts]

    return asyncio.run(run())


def replayed(engine: engines.Engine, *texts: str) -> list[Completion]:
    async def run() -> list[Completion]:
        return [await engine.complete(ask(text)) for text in texts]

    return asyncio.run(run())


def test_what_was_recorded_comes_back_as_it_was_under_the_recorded_identity(tmp_path: Path) -> None:
    path = tmp_path / "a journal #1"
    before = record(path, "echo:1", "a", "b")
    content = path.read_bytes()
    engine = engines.open("replay", str(path))
    assert engine.identity == "echo:1"
    assert replayed(engine, "b", "a") == before[::-1]
    assert path.read_bytes() == content


def test_what_was_not_recorded_fails_for_good_and_says_what_to_do(tmp_path: Path) -> None:
    record(tmp_path / "journal", "echo:1", "a")
    engine = ReplayEngine(tmp_path / "journal")
    for request in (ask("b"), ask("a", sample=1)):
        with pytest.raises(
            EngineError, match="has no completion for this prompt, sampling and sample number"
        ) as raised:
            asyncio.run(engine.complete(request))
        assert not raised.value.retryable
        assert raised.value.hint


def test_of_several_engines_in_a_journal_one_must_be_named(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    record(path, "echo:1", "a")
    [second] = record(path, "echo:2", "a")
    with pytest.raises(FathomError, match=r"choose one with identity=\.\.\.: echo:1, echo:2"):
        ReplayEngine(path)
    with pytest.raises(FathomError, match="no completions of identity='echo:3'"):
        ReplayEngine(path, identity="echo:3")
    assert replayed(ReplayEngine(path, identity="echo:2"), "a") == [second]


def test_a_journal_that_names_no_engine_is_replayed_under_a_given_name(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    [recorded] = record(path, "echo:1", "a")
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE engines")
    with pytest.raises(FathomError, match="older version"):
        ReplayEngine(path)
    assert replayed(ReplayEngine(path, identity="echo:1"), "a") == [recorded]


def test_a_file_that_is_no_journal_is_refused_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(FathomError, match="no such journal"):
        ReplayEngine(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "text").write_text("no database, but long enough to be looked at" * 30)
    with pytest.raises(FathomError, match="as a journal"):
        ReplayEngine(tmp_path / "text")
    with sqlite3.connect(tmp_path / "other") as connection:
        connection.execute("CREATE TABLE things (name TEXT)")
    with pytest.raises(FathomError, match="no table of completions"):
        ReplayEngine(tmp_path / "other")


def judged(out: Path, *arguments: object) -> list[dict[str, object]]:
    command = ["judge", PAIRS, "--style", "depth", "--swap", "--out", out, *arguments]
    CliRunner().invoke(app, [*map(str, command)], catch_exceptions=False)
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_verdicts_are_computed_again_byte_for_byte_without_the_model(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason='needs pip install "fathom-rm[local]"')
    first, again, other = (tmp_path / name for name in ("first.jsonl", "again.jsonl", "other.jsonl"))
    judged(first, "--model", "mini", "--limit", 2)
    journal = shutil.move(f"{first}.journal", tmp_path / "elsewhere")
    replay = ("--engine", "replay", "--model", journal, "--prompt", "trained")
    judged(again, *replay, "--limit", 2)
    assert again.read_bytes() == first.read_bytes()
    rows = judged(other, *replay, "--limit", 3, "--fail-on", "never")
    assert [row["status"] for row in rows] == ["ok", "ok", "failed"]
