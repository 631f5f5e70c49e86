"""The completion journal: every finished completion is on disk before it is returned.

    async with CachedEngine(engine, "run.journal") as cached:
        completion = await cached.complete(request)     # calls `engine` at most once per request, across runs

To resume a run, run it again: finished completions are read from the journal and cost no call. The key of a completion
is a hash of the engine's identity, the messages, the sampling settings, the sample number and the prefix of the answer.
The journal also stores these values in readable form, and lists the identities in a table of their own, for
`fathom.engines.replay`. Failures are not stored, so they are tried again.

An answer without the requested log-probabilities is stored and raised as an error, now and on every later request: the
same run fails again without paying twice for the same text. Several processes may share one file; if two of them make
the same request at the same time, both call the engine.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, Self

from fathom.engines import (
    Answer,
    AnyRequest,
    Completion,
    Engine,
    EngineError,
    EngineWrapper,
    MissingLogprobsError,
    Request,
    RunStoppedError,
    Sampling,
    TokenLogprob,
    answer,
    check_prefix,
    readings,
)
from fathom.engines.batching import Batcher, Job
from fathom.engines.journal import Journal, Row, SQLiteJournal, read_only
from fathom.engines.metering import Metered
from fathom.engines.usage import Usage

LANDING_SECONDS = 1.0
"""How long to wait for calls in flight when a run is interrupted."""
GROUPING_SECONDS = 0.003
"""How long a completion waits for others to be written in the same transaction: a flush costs more than many rows."""
FULL_GROUP = 64
"""Number of completions that are written without waiting for more."""


class CachedEngine(EngineWrapper):
    """Caches the completions of `engine` in a journal. `misses` counts the requests that were passed on.

    `journal` is the path of an SQLite file, ":memory:", or any other `fathom.engines.journal.Journal`; it is closed
    with the engine. The file is created with the first completion. Raises FathomError for a file that cannot be used.

    Close the engine, or use it as a context manager. If an exception, including Ctrl-C, leaves `async with`, no further
    call is made, and calls in flight get `LANDING_SECONDS` to be stored, or the time that a RunStoppedError states.
    Plain `with` is for `RewardModel.run`, which leaves no call in flight. The journal also records what a metered
    engine has spent (`fathom.engines.ledger`).
    """

    def __init__(self, engine: Engine, journal: str | Path | Journal) -> None:
        super().__init__(engine)
        self.journal = SQLiteJournal(journal, engine) if isinstance(journal, str | Path) else journal
        self.misses = 0
        self.cancel_abandoned = False
        """Whether to cancel a call that no caller awaits any longer. A run stores it instead, because it is billed; a
        server must not let callers that are gone occupy its engine."""
        self.on_miss: Callable[[], None] = lambda: None
        """Called before each call to `engine`, in the context of the first caller that awaits it."""
        self._stopped = False
        self._incomplete: Completion | None = None
        self._in_flight: dict[str, asyncio.Task[Answer]] = {}
        self._callers: Counter[asyncio.Task[Answer]] = Counter()
        # One thread does all journal access, so the event loop never waits for the disk.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._find = Batcher(self._find_batch, executor=self._thread)
        self._write = Batcher(self._write_batch, executor=self._thread, max_wait=GROUPING_SECONDS, full=FULL_GROUP)

    def _find_batch(self, jobs: Sequence[Job[str, str | None]]) -> Sequence[str | None]:
        return self.journal.find([job.item for job in jobs])

    def _write_batch(self, jobs: Sequence[Job[Row, None]]) -> Sequence[None]:
        self.journal.write([job.item for job in jobs])
        return [None] * len(jobs)

    async def answer(self, request: AnyRequest) -> Answer:
        """Return the stored answer, or a new one after storing it. Raises the errors of `engine`."""
        return await self.answer_of(self.engine, request)

    def beside(self, engine: Engine) -> Engine:
        """A second model of the run, in this process: its answers are kept in this journal, and it is metered.

        Its tokens count towards a bound on tokens, and cost nothing.
        """
        return _Beside(engine, self)

    async def answer_of(self, engine: Engine, request: AnyRequest) -> Answer:
        """As `answer`, of `engine` or of another one beside it."""
        if isinstance(request, Request):
            check_prefix(engine, request)
        text = request_text(engine.identity, request)
        key = _key(text)
        task = self._in_flight.get(key)
        if task is None or task.cancelled():
            task = self._in_flight[key] = asyncio.create_task(self._found_or_new(engine, key, text, request))
            task.add_done_callback(lambda done: self._landed(key, done))
        self._callers[task] += 1
        try:
            # Shielded: if this caller is cancelled, another one may still await the same request.
            return await asyncio.shield(task)
        finally:
            self._left(key, task)

    def _left(self, key: str, task: asyncio.Task[Answer]) -> None:
        self._callers[task] -= 1
        if self._callers[task]:
            return
        del self._callers[task]
        if self.cancel_abandoned and not task.done():
            # Forgotten at once: a new caller would otherwise await a task that is about to end as cancelled.
            self._in_flight.pop(key, None)
            task.cancel()

    async def _found_or_new(self, engine: Engine, key: str, text: str, request: AnyRequest) -> Answer:
        stored = await self._stored(key)
        if stored is not None:
            return self._check_complete(decode_answer(request, stored))
        if self._incomplete is not None:
            raise MissingLogprobsError(self._incomplete)
        if self._stopped:
            raise EngineError("the run stopped before this call was made", retryable=True)
        self.misses += 1
        self.on_miss()
        beside = [] if engine is self.engine else _meters(self.engine)
        try:
            result = await answer(engine, request)
        except MissingLogprobsError as error:
            result = error.completion
        except EngineError as error:
            for meter in beside:
                meter.note_failure(error)
            raise
        for meter in beside:
            meter.free += result.usage
        await self._store(Row(key, text, encode_answer(result)))
        return self._check_complete(result)

    # A journal in memory answers at once: a thread, and waiting for others to write with, would only cost time.

    async def _stored(self, key: str) -> str | None:
        return await self._find(key) if self.journal.lasts else self.journal.find([key])[0]

    async def _store(self, row: Row) -> None:
        if self.journal.lasts:
            await self._write(row)
        else:
            self.journal.write([row])

    def _check_complete(self, result: Answer) -> Answer:
        """Raise MissingLogprobsError for an incomplete answer, and from then on for every request not yet stored."""
        if isinstance(result, Completion) and result.lacks:
            self._incomplete = result
            raise MissingLogprobsError(result)
        return result

    def _landed(self, key: str, task: asyncio.Task[Answer]) -> None:
        if self._in_flight.get(key) is task:
            del self._in_flight[key]
        if not task.cancelled():
            task.exception()  # marks it as retrieved: asyncio logs unretrieved exceptions, though no caller is left

    async def close(self) -> None:
        """Close the engine and the journal."""
        await super().close()
        self._thread.submit(self.journal.close).result()
        self._thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # In a new thread, because this one may already run an event loop, as in a notebook.
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
        if self._in_flight:
            seconds = seconds if self.journal.lasts else 0.0
            _, late = await asyncio.wait(list(self._in_flight.values()), timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


class _Beside(EngineWrapper):
    """An engine with the journal of another one."""

    def __init__(self, engine: Engine, run: CachedEngine) -> None:
        super().__init__(engine)
        self.run = run

    async def answer(self, request: AnyRequest) -> Answer:
        return await self.run.answer_of(self.engine, request)


def _meters(engine: Engine) -> list[Metered]:
    """The meters around an engine."""
    found = []
    while isinstance(engine, EngineWrapper):
        if isinstance(engine, Metered):
            found.append(engine)
        engine = engine.engine
    return found


def request_key(identity: str, request: AnyRequest) -> str:
    """The journal key of a request: SHA-256 of its `request_text`."""
    return _key(request_text(identity, request))


def request_text(identity: str, request: AnyRequest) -> str:
    """All that determines an answer, as canonical JSON.

    For a completion: engine, messages, sampling, sample, and prefix if any. For a reading: engine, the reduction and
    its version, and the fields of the request.
    """
    if not isinstance(request, Request):
        return _CANONICAL.encode({"engine": identity, **readings.request_values(request)})
    parts = {
        "engine": identity,
        "messages": request.messages,
        "sampling": _shallow(request.sampling),
        "sample": request.sample,
    }
    if request.prefix:  # omitted if empty, so the keys of older journals stay valid
        parts["prefix"] = request.prefix
    return _CANONICAL.encode(parts)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Entry(NamedTuple):
    """A row of a journal. `request` has the keys of `request_text`; it is None in journals of older versions."""

    key: str
    request: dict[str, Any] | None
    completion: Answer
    """The completion, or the reading if `request` has the key `reading`."""


def entries(path: str | Path) -> Iterator[Entry]:
    """Read a journal's entries in the order in which they were written. Raises FathomError for any other file."""
    connection = read_only(Path(path))
    try:
        columns = {column[1] for column in connection.execute("PRAGMA table_info(completions)")}
        column = "request" if "request" in columns else "NULL"
        for key, text, stored in connection.execute(f"SELECT key, {column}, completion FROM completions"):
            request = text and json.loads(text)
            yield Entry(key, request, _decoded((request or {}).get("reading"), stored))
    finally:
        connection.close()


def encode_answer(result: Answer) -> str:
    """A completion or a reading as JSON. Inverse of `decode_answer`."""
    return encode_completion(result) if isinstance(result, Completion) else _COMPLETION.encode(readings.encode(result))


def decode_answer(request: AnyRequest, text: str) -> Answer:
    return _decoded(None if isinstance(request, Request) else request.NAME, text)


def _decoded(reading: str | None, text: str) -> Answer:
    return decode_completion(text) if reading is None else readings.decode(reading, json.loads(text))


def encode_completion(completion: Completion) -> str:
    return _COMPLETION.encode(_shallow(completion))


def _shallow(value: Any) -> dict[str, Any]:
    """Like `dataclasses.asdict`, without its deep copies, which take most of the time of encoding."""
    values = {name: getattr(value, name) for name in _FIELDS[type(value)]}
    return {name: entry for name, entry in values.items() if entry or name not in _LATER}


_COMPLETION = json.JSONEncoder(default=_shallow, separators=(",", ":"))

_LATER = frozenset({"top_logprobs", "top", "unknown_calls", "lacks"})
"""Fields that older journals do not have. They are omitted if empty, so the keys of those journals stay valid."""

_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in (Sampling, Completion, Usage, TokenLogprob)}


def decode_completion(text: str) -> Completion:
    """Inverse of `encode_completion`."""
    stored = json.loads(text)
    logprobs = stored.pop("logprobs")
    if "extended_to" in stored:  # the name in journals of version 0.1
        stored["retry_max_tokens"] = stored.pop("extended_to")
    return Completion(
        **stored | {"usage": Usage(**stored["usage"])},
        logprobs=None if logprobs is None else tuple(map(_decode_logprob, logprobs)),
    )


def _decode_logprob(stored: Mapping[str, Any]) -> TokenLogprob:
    top = tuple((token, logprob) for token, logprob in stored.get("top", ()))
    return TokenLogprob(stored["token"], stored["logprob"], top)
