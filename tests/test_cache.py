"""The completion journal: nothing returned is lost, nothing stored is asked again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.engines import BaseEngine, Completion, EngineError, FinishReason, Request, Sampling, TokenLogprob
from fathom.engines.cache import CachedEngine, decode_completion, encode_completion, entries, request_key
from fathom.engines.journal import Row
from fathom.engines.usage import Usage
from fathom.errors import FathomError

LOGPROBS = st.floats(max_value=0, allow_nan=False)


class Counting(BaseEngine):
    """Writes which call it was, so that a repeated call shows in the text."""

    def __init__(self, identity: str = "counting:1") -> None:
        self.identity = identity
        self.calls = 0

    async def complete(self, request: Request) -> Completion:
        self.calls += 1
        number = self.calls
        await asyncio.sleep(0)
        if request.messages[0]["content"] == "fail":
            raise EngineError("down", retryable=True)
        return Completion(f"{request.messages[0]['content']}#{request.sample}, call {number}", usage=Usage(1, 2))


def ask(text: str, sample: int = 0, **sampling: object) -> Request:
    return Request(({"role": "user", "content": text},), Sampling(**sampling), sample)  # type: ignore[arg-type]


async def through(engine: Counting, path: Path, requests: list[Request]) -> list[Completion]:
    async with CachedEngine(engine, path) as cached:
        return await asyncio.gather(*map(cached.complete, requests))


def test_running_again_asks_nothing_and_gives_the_same(tmp_path: Path) -> None:
    requests = [ask(text, sample) for text in "abcdefgh" for sample in range(4)]
    first, second = Counting(), Counting()
    before = asyncio.run(through(first, tmp_path / "journal", requests))
    after = asyncio.run(through(second, tmp_path / "journal", requests))
    assert first.calls == len(requests)
    assert second.calls == 0
    assert after == before


def test_the_same_request_in_flight_is_asked_once(tmp_path: Path) -> None:
    engine = Counting()
    completions = asyncio.run(through(engine, tmp_path / "journal", [ask("same")] * 20))
    assert engine.calls == 1
    assert len(set(completions)) == 1


def test_a_failure_is_not_stored(tmp_path: Path) -> None:
    engine = Counting()
    for _ in range(2):
        with pytest.raises(EngineError, match="down"):
            asyncio.run(through(engine, tmp_path / "journal", [ask("fail")]))
    assert engine.calls == 2


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(("counting:2", ask("a")), id="engine"),
        pytest.param(("counting:1", ask("b")), id="message"),
        pytest.param(("counting:1", Request(({"role": "system", "content": "a"},))), id="role"),
        pytest.param(("counting:1", ask("a", 1)), id="sample"),
        pytest.param(("counting:1", ask("a", temperature=0.5)), id="temperature"),
        pytest.param(("counting:1", ask("a", top_p=0.5)), id="top-p"),
        pytest.param(("counting:1", ask("a", max_tokens=5)), id="max-tokens"),
        pytest.param(("counting:1", ask("a", stop=("x",))), id="stop"),
        pytest.param(("counting:1", ask("a", seed=1)), id="seed"),
        pytest.param(("counting:1", ask("a", logprobs=True)), id="logprobs"),
        pytest.param(("counting:1", ask("a", top_logprobs=5)), id="top-logprobs"),
    ],
)
def test_whatever_decides_a_completion_changes_its_key(other: tuple[str, Request]) -> None:
    assert request_key(*other) != request_key("counting:1", ask("a"))
    assert request_key(*other) == request_key(other[0], replace(other[1]))


@given(
    st.builds(
        Completion,
        text=st.text(),
        finish_reason=st.sampled_from(get_args(FinishReason)),
        usage=st.builds(Usage, st.integers(0), st.integers(0), st.integers(0)),
        lacks=st.sampled_from(["", "log-probabilities"]),
        logprobs=st.none()
        | st.lists(
            st.builds(TokenLogprob, st.text(), LOGPROBS, st.lists(st.tuples(st.text(), LOGPROBS)).map(tuple))
        ).map(tuple),
    )
)
def test_a_stored_completion_is_read_back_unchanged(completion: Completion) -> None:
    assert decode_completion(encode_completion(completion)) == completion


def test_journals_from_before_the_most_likely_tokens_were_asked_for_still_answer() -> None:
    sampling = {"temperature": 0.5, "top_p": 1.0, "max_tokens": 9, "stop": [], "seed": 1, "logprobs": True}
    asked = {"engine": "e", "messages": [{"role": "user", "content": "a"}], "sampling": sampling, "sample": 2}
    key = hashlib.sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    assert request_key("e", ask("a", 2, temperature=0.5, max_tokens=9, seed=1, logprobs=True)) == key
    written = (
        '{"text":"A","finish_reason":"stop","usage":{"prompt_tokens":1,"completion_tokens":1},'
        '"logprobs":[{"token":"A","logprob":-0.5}],"reasoning":"","retry_max_tokens":null}'
    )
    assert decode_completion(written) == Completion("A", usage=Usage(1, 1), logprobs=(TokenLogprob("A", -0.5),))
    assert encode_completion(decode_completion(written)) == written


def test_a_completion_stored_by_version_0_1_is_read() -> None:
    written = (
        '{"text":"A","finish_reason":"stop","usage":{"prompt_tokens":1,"completion_tokens":1},'
        '"logprobs":null,"reasoning":"","extended_to":64}'
    )
    assert decode_completion(written) == Completion("A", usage=Usage(1, 1), retry_max_tokens=64)


def test_a_caller_that_gives_up_takes_nothing_from_the_others(tmp_path: Path) -> None:
    async def run() -> Completion:
        async with CachedEngine(Counting(), tmp_path / "journal") as cached:
            first = asyncio.create_task(cached.complete(ask("same")))
            second = asyncio.create_task(cached.complete(ask("same")))
            await asyncio.sleep(0)
            first.cancel()
            return await second

    assert asyncio.run(run()).text == "same#0, call 1"


class Remembered:
    """A journal that keeps its rows in a dictionary, which outlasts the engine."""

    lasts = False

    def __init__(self, fails: bool = False) -> None:
        self.rows: dict[str, Row] = {}
        self.fails = fails
        self.closed = 0

    def find(self, keys: Sequence[str]) -> list[str | None]:
        return [self.rows[key].completion if key in self.rows else None for key in keys]

    def write(self, rows: Sequence[Row]) -> None:
        if self.fails:
            raise FathomError("the store is full")
        for row in rows:
            self.rows.setdefault(row.key, row)

    def close(self) -> None:
        self.closed += 1


def test_any_journal_with_the_same_methods_can_be_used() -> None:
    journal, requests = Remembered(), [ask(text) for text in "abcd"]

    async def run(engine: Counting) -> list[Completion]:
        async with CachedEngine(engine, journal) as cached:
            return await asyncio.gather(*map(cached.complete, requests))

    first, second = Counting(), Counting()
    assert asyncio.run(run(first)) == asyncio.run(run(second))
    assert (first.calls, second.calls, journal.closed) == (4, 0, 2)
    assert set(journal.rows) == {request_key("counting:1", request) for request in requests}


def test_a_journal_that_fails_ends_the_run_with_its_own_message() -> None:
    async def run() -> None:
        async with CachedEngine(Counting(), Remembered(fails=True)) as cached:
            await cached.complete(ask("a"))

    with pytest.raises(FathomError, match="the store is full"):
        asyncio.run(run())


@pytest.mark.parametrize("journal", ["journal", ":memory:"])
def test_a_run_that_breaks_off_stores_what_is_in_flight_and_asks_nothing_more(journal: str, tmp_path: Path) -> None:
    class Slow(Counting):
        begun = 0

        async def complete(self, request: Request) -> Completion:
            self.begun += 1
            await asyncio.sleep(0.05 if request.sample else 3600)
            return await super().complete(request)

    path = tmp_path / journal if journal == "journal" else journal
    engine, other = Slow(), Counting()

    async def run() -> None:
        flying = set()
        async with CachedEngine(engine, path) as cached:
            flying |= {asyncio.create_task(cached.complete(ask("a", sample))) for sample in range(5)}
            while engine.begun < 5:
                await asyncio.sleep(0.001)
            flying |= {asyncio.create_task(cached.complete(ask("late", 1)))}
            await asyncio.sleep(0)
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(run())
    assert engine.calls == (4 if journal == "journal" else 0)
    asyncio.run(through(other, tmp_path / "journal", [ask("a", sample) for sample in range(1, 5)]))
    assert other.calls == (0 if journal == "journal" else 4)


def test_two_engines_share_one_file(tmp_path: Path) -> None:
    async def run() -> tuple[int, int]:
        a, b = Counting("one model"), Counting("one model")
        async with CachedEngine(a, tmp_path / "journal") as left, CachedEngine(b, tmp_path / "journal") as right:
            await asyncio.gather(*(left.complete(ask(str(n))) for n in range(50)))
            await asyncio.gather(*(right.complete(ask(str(n))) for n in range(100)))
        return a.calls, b.calls

    assert asyncio.run(run()) == (50, 50)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Shopping list: bread, milk, and a great many other things. " * 20)
    with pytest.raises(FathomError, match="as a journal"):
        CachedEngine(Counting(), tmp_path / "notes.txt")


VICTIM = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from fathom.engines.cache import CachedEngine
from test_cache import Counting, ask

async def one(cached, number):
    completion = await cached.complete(ask(str(number)))
    print(number, completion.text, sep="|", flush=True)

async def main():
    cached = CachedEngine(Counting(), sys.argv[1])
    for start in range(0, 100_000, 16):
        await asyncio.gather(*(one(cached, start + n) for n in range(16)))

asyncio.run(main())
"""


def test_a_killed_process_loses_nothing_it_returned(tmp_path: Path) -> None:
    command = [sys.executable, "-c", VICTIM, str(tmp_path / "journal"), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        lines = [victim.stdout.readline() for _ in range(100)]
        os.kill(victim.pid, signal.SIGKILL)
        lines += victim.stdout.readlines()
    returned = dict(line.strip().split("|") for line in lines if line.endswith("\n"))
    engine = Counting()
    again = asyncio.run(through(engine, tmp_path / "journal", [ask(number) for number in returned]))
    assert len(returned) >= 100
    assert engine.calls == 0
    assert [completion.text for completion in again] == list(returned.values())


def test_a_journal_says_what_was_asked_beside_each_answer(tmp_path: Path) -> None:
    requests = [ask("one"), ask("two", 3, temperature=0.5)]
    completions = asyncio.run(through(Counting(), tmp_path / "journal", requests))
    told = {entry.request["sample"]: entry for entry in entries(tmp_path / "journal") if entry.request}
    assert [told[sample].completion for sample in (0, 3)] == completions
    assert told[3].request == {
        "engine": "counting:1",
        "messages": [{"role": "user", "content": "two"}],
        "sampling": {"temperature": 0.5, "top_p": 1.0, "max_tokens": 2048, "stop": [], "seed": 0, "logprobs": False},
        "sample": 3,
    }
    assert told[3].key == request_key("counting:1", requests[1])


def test_a_journal_of_an_older_version_is_read_and_written_on(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with sqlite3.connect(path) as journal:
        journal.execute("CREATE TABLE completions (key TEXT PRIMARY KEY, completion TEXT)")
        stored = (request_key("counting:1", ask("old")), encode_completion(Completion("kept")))
        journal.execute("INSERT INTO completions VALUES (?, ?)", stored)
    assert [(entry.request, entry.completion.text) for entry in entries(path)] == [(None, "kept")]
    engine = Counting()
    old, _ = asyncio.run(through(engine, path, [ask("old"), ask("new")]))
    assert (old.text, engine.calls) == ("kept", 1)
    assert len([entry for entry in entries(path) if entry.request]) == 1


def test_many_that_begin_together_make_one_journal(tmp_path: Path) -> None:
    together = Barrier(8)

    def begin(path: Path) -> None:
        together.wait()
        asyncio.run(through(Counting(), path, [ask("same")]))

    with ThreadPoolExecutor(max_workers=8) as pool:
        for number in range(20):
            list(pool.map(begin, [tmp_path / f"{number}.journal"] * 8))


def test_a_journal_is_made_with_the_first_completion_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal"

    async def refused_before_anything_is_asked() -> None:
        async with CachedEngine(Counting(), path):
            pass

    asyncio.run(refused_before_anything_is_asked())
    assert not path.parent.exists()
    asyncio.run(through(Counting(), path, [ask("a")]))
    assert len(list(entries(path))) == 1


def test_what_another_process_writes_into_a_new_journal_is_found(tmp_path: Path) -> None:
    engine = Counting()

    async def late() -> Completion:
        async with CachedEngine(engine, tmp_path / "journal") as cached:
            await through(Counting(), tmp_path / "journal", [ask("a")])
            return await cached.complete(ask("a"))

    assert asyncio.run(late()).text == "a#0, call 1"
    assert engine.calls == 0


@pytest.mark.parametrize("table", ["people (name TEXT)", "completions (name TEXT)"])
def test_a_database_of_somebody_else_is_refused_and_not_touched(table: str, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with sqlite3.connect(path) as database:
        database.execute(f"CREATE TABLE {table}")
    before = path.read_bytes()
    with pytest.raises(FathomError, match="is a database of another program"):
        CachedEngine(Counting(), path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["journal"]
