"""The completion journal: every finished completion is on disk before anyone uses it.

    async with CachedEngine(engine, "run.journal") as cached:
        completion = await cached.complete(request)     # asks `engine` once, ever

To resume a run is to run it again: what is done is found here, and costs no call. The key of a completion is a hash of
the engine's identity, the messages, the sampling, the sample number and the prefix of the answer. Those stand beside it
for people to read, and the identities in a table of their own, for `fathom.engines.replay`. Failures are not stored, so
they are asked again.
An answer that lacks what was asked for is stored and raised as an error, now and whenever it is asked for again: the
same run refuses again, and does not pay for the same text twice.
Several processes may share one file; a request that two of them make at the same moment is asked by both.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, Self

from fathom.engines import (
    Completion,
    Engine,
    EngineError,
    EngineWrapper,
    IncompleteAnswerError,
    Request,
    RunStoppedError,
    Sampling,
    TokenLogprob,
    check_prefix,
)
from fathom.engines.batching import Batcher, Job
from fathom.engines.journal import Journal, Row, SQLiteJournal, read_only
from fathom.engines.usage import Usage

LANDING_SECONDS = 1.0
"""How long to wait for what is in flight when a run is broken off."""


class CachedEngine(EngineWrapper):
    """An engine that remembers. `misses` counts the requests that went through to `engine`.

    `journal` is a file of SQLite, ":memory:", or any other `fathom.engines.journal.Journal`; it is closed with the
    engine. Raises FathomError for a file that cannot be used; it is made with the first completion. Close the engine,
    or use it as a context manager. Left by an exception, Ctrl-C among them, `async with` asks nothing more, and what is
    in flight has `LANDING_SECONDS` to be stored, or as long as a RunStoppedError says. `with` is for `RewardModel.run`,
    which has nothing in flight any more when its loop is left. What a metered engine has spent is kept with the
    completions (`fathom.engines.ledger`).
    """

    def __init__(self, engine: Engine, journal: str | Path | Journal) -> None:
        super().__init__(engine)
        self.journal = SQLiteJournal(journal, engine) if isinstance(journal, str | Path) else journal
        self.misses = 0
        self._stopped = False
        self._incomplete: Completion | None = None
        self._flying: dict[str, asyncio.Task[Completion]] = {}
        # One thread uses the journal, so the event loop never waits for the disk.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._find = Batcher(self._found, executor=self._thread)
        self._write = Batcher(self._written, executor=self._thread)

    def _found(self, jobs: Sequence[Job[str, str | None]]) -> Sequence[str | None]:
        return self.journal.find([job.item for job in jobs])

    def _written(self, jobs: Sequence[Job[Row, None]]) -> Sequence[None]:
        self.journal.write([job.item for job in jobs])
        return [None] * len(jobs)

    async def complete(self, request: Request) -> Completion:
        """The stored completion, or a new one, returned after it was stored. Raises errors as `engine` does."""
        check_prefix(self, request)
        asked = request_text(self.identity, request)
        key = _key(asked)
        task = self._flying.get(key)
        if task is None or task.cancelled():
            task = self._flying[key] = asyncio.create_task(self._complete(key, asked, request))
            task.add_done_callback(lambda done: self._landed(key, done))
        # Shielded, because another caller may wait for the same request after this one has been cancelled.
        return await asyncio.shield(task)

    async def _complete(self, key: str, asked: str, request: Request) -> Completion:
        stored = await self._find(key)
        if stored is not None:
            return self._whole(decode_completion(stored))
        if self._incomplete is not None:
            raise IncompleteAnswerError(self._incomplete)
        if self._stopped:
            raise EngineError("stopped before this was asked", retryable=True)
        self.misses += 1
        try:
            completion = await self.engine.complete(request)
        except IncompleteAnswerError as error:
            completion = error.completion
        await self._write(Row(key, asked, encode_completion(completion)))
        return self._whole(completion)

    def _whole(self, completion: Completion) -> Completion:
        """Raises IncompleteAnswerError where it is not, and from then on for all that would have to be asked."""
        if completion.lacks:
            self._incomplete = completion
            raise IncompleteAnswerError(completion)
        return completion

    def _landed(self, key: str, task: asyncio.Task[Completion]) -> None:
        if self._flying.get(key) is task:
            del self._flying[key]
        if not task.cancelled():
            task.exception()  # read, so that a failure nobody waits for any more is not reported as lost

    async def close(self) -> None:
        """Closes the journal, and the engine where that has something to close."""
        await super().close()
        self._thread.submit(self.journal.close).result()
        self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # In a thread of its own, because this one may run an event loop, as a notebook's does.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, self.close()).result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        try:
            if error is not None:
                await self._land(error.landing_seconds if isinstance(error, RunStoppedError) else LANDING_SECONDS)
        finally:
            await self.close()

    def stop(self) -> None:
        self._stopped = True
        super().stop()

    async def _land(self, seconds: float) -> None:
        self.stop()
        if self._flying:
            seconds = seconds if self.journal.lasts else 0.0
            _, late = await asyncio.wait(list(self._flying.values()), timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def request_key(identity: str, request: Request) -> str:
    """SHA-256 over everything that decides a completion, as `request_text` has it."""
    return _key(request_text(identity, request))


def request_text(identity: str, request: Request) -> str:
    """Everything that decides a completion as canonical JSON: engine, messages, sampling, sample, prefix if any."""
    asked = {
        "engine": identity,
        "messages": request.messages,
        "sampling": _shallow(request.sampling),
        "sample": request.sample,
    }
    if request.prefix:  # left out where there is none, so that the keys of older journals stay valid
        asked["prefix"] = request.prefix
    return _CANONICAL.encode(asked)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _key(asked: str) -> str:
    return hashlib.sha256(asked.encode()).hexdigest()


class Entry(NamedTuple):
    """A line of a journal. `request` has the keys engine, messages, sampling, sample, and prefix where there was one;
    older versions wrote none."""

    key: str
    request: dict[str, Any] | None
    completion: Completion


def entries(path: str | Path) -> Iterator[Entry]:
    """What a journal holds, in the order of writing. It is only read. Raises FathomError for a file that is none."""
    connection = read_only(Path(path))
    try:
        columns = {column[1] for column in connection.execute("PRAGMA table_info(completions)")}
        request = "request" if "request" in columns else "NULL"
        for key, asked, stored in connection.execute(f"SELECT key, {request}, completion FROM completions"):
            yield Entry(key, asked and json.loads(asked), decode_completion(stored))
    finally:
        connection.close()


def encode_completion(completion: Completion) -> str:
    return _COMPLETION.encode(_shallow(completion))


def _shallow(value: Any) -> dict[str, Any]:
    """Like `dataclasses.asdict`, without its deep copies."""
    told = {name: getattr(value, name) for name in _FIELDS[type(value)]}
    return {name: entry for name, entry in told.items() if entry or name not in _LATER}


_COMPLETION = json.JSONEncoder(default=_shallow, separators=(",", ":"))

_LATER = frozenset({"top_logprobs", "top", "unknown_calls", "lacks"})
"""Fields that journals of older versions do not know. Left out where they are empty, so that those still answer."""

_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in (Sampling, Completion, Usage, TokenLogprob)}


def decode_completion(text: str) -> Completion:
    """Inverse of `encode_completion`."""
    stored = json.loads(text)
    logprobs = stored.pop("logprobs")
    if "extended_to" in stored:  # what journals of version 0.1 call it
        stored["retry_max_tokens"] = stored.pop("extended_to")
    return Completion(
        **stored | {"usage": Usage(**stored["usage"])},
        logprobs=None if logprobs is None else tuple(map(_decode_logprob, logprobs)),
    )


def _decode_logprob(stored: Mapping[str, Any]) -> TokenLogprob:
    top = tuple((token, logprob) for token, logprob in stored.get("top", ()))
    return TokenLogprob(stored["token"], stored["logprob"], top)
