"""Requests and results of OpenAI's Batch API, in files that vLLM's `run-batch` also reads and writes. No network calls.

    engine = batch_engine(settings)                            # FathomError for an engine without such files
    line = request_line(engine, request)                       # a line of a file of requests
    answering = BatchEngine(engine, Results([Path("output.jsonl"), Path("errors.jsonl")]))
    completion = await answering.complete(request)             # EngineError if the request failed, or has no result

The `custom_id` of a request is its key in the journal, a hash of all that determines the answer. So a result is found
wherever it stands, and a result of another model, prompt or setting is never used. If a request has several results,
the first completion counts, in the order of the files.

Contracts: OpenAI's API reference, "The request input object" and "The request output object" of batches; vLLM's
`vllm/entrypoints/openai/run_batch.py`, whose errors are texts beside a response without a body.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from fathom.engines import BaseEngine, Completion, EngineError, Request, dialect
from fathom.engines.cache import request_key
from fathom.engines.opening import open_engine
from fathom.engines.outcome import outcome
from fathom.errors import FathomError
from fathom.settings import EngineSettings

if TYPE_CHECKING:
    from fathom.engines.openai import OpenAIEngine

OK = 200
CACHE_KIB = 16_384
"""Memory of the index of results."""


def batch_engine(settings: EngineSettings) -> OpenAIEngine:
    """The engine whose requests a batch makes. Raises FathomError for one whose calls a file cannot express."""
    from fathom.engines.openai import OpenAIEngine

    engine = open_engine(settings)
    if not isinstance(engine, OpenAIEngine):
        what = f"--engine {settings.name}" if len(settings.addresses) < 2 else "several addresses in --base-url"
        raise FathomError(
            f"a batch has requests of OpenAI's API, so it needs --engine openai with one address; got {what}"
        )
    if engine.longer is not None:
        raise FathomError(
            f"longer={engine.longer} asks again after a text that was cut, which a batch cannot; raise --max-tokens"
        )
    if engine.headers:
        raise FathomError(f"headers={', '.join(engine.headers)}: a file of requests has no headers; leave them out")
    return engine


def request_line(engine: OpenAIEngine, request: Request) -> bytes:
    """The line of a request in a file of requests, with its line break."""
    line = {
        "custom_id": request_key(engine.identity, request),
        "method": "POST",
        "url": f"/v1/{dialect.PATHS[engine.api]}",
        "body": engine.fields(request),
    }
    return to_json(line) + b"\n"


class _Response(BaseModel):
    status_code: int = OK
    body: Any = None


class _Result(BaseModel):
    """A line of an output file or an error file."""

    custom_id: str
    response: _Response | None = None
    error: Any = None


class _Place(NamedTuple):
    """Where a line begins. Texts stay in the files."""

    file: int
    offset: int


class Results:
    """The results in output files and error files, in any order.

    Their index is on disk: in memory, a result takes one byte. `used` counts those that were asked for. Raises
    FathomError for a file that cannot be read, and for a line that is not a result, with its number.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._files: list[BinaryIO] = []
        self._index = _Index(chain.from_iterable(map(self._places, range(len(paths)))))
        self.repeated = self._index.places - self._index.keys
        """Results of requests that have an earlier one."""

    def __len__(self) -> int:
        return self._index.keys

    @property
    def used(self) -> int:
        return self._index.used

    def __str__(self) -> str:
        """`used 9,950 of 10,000 results`; the others are in the journal already, or belong to other requests."""
        repeated = f"; {self.repeated:,} more were repetitions" if self.repeated else ""
        return f"used {self.used:,} of {len(self):,} results{repeated}"

    def find(self, custom_id: str) -> list[_Result]:
        """The results of a request, in the order of the files."""
        return [self._read(place) for place in self._index.find(_key(custom_id))]

    def _read(self, place: _Place) -> _Result:
        file = self._files[place.file]
        file.seek(place.offset)
        return _Result.model_validate(json.loads(file.readline()))

    def close(self) -> None:
        self._index.close()
        for file in self._files:
            file.close()

    def _places(self, number: int) -> Iterator[tuple[bytes, _Place]]:
        """The key of each result of a file, with its place."""
        path = self.paths[number]
        try:
            file = path.open("rb")
        except OSError as error:
            raise FathomError(
                f"--results {path}: cannot be read: {error}; expected a batch's output or errors"
            ) from None
        self._files.append(file)
        offset = 0
        for count, line in enumerate(file, 1):
            if line.strip():
                yield _key(_parsed(line, path, count).custom_id), _Place(number, offset)
            offset += len(line)


class _Index:
    """Places by key, in a temporary file that SQLite removes when it is closed. `used`: how many keys were found.

    Raises FathomError if the file cannot be written.
    """

    def __init__(self, places: Iterable[tuple[bytes, _Place]]) -> None:
        self.used = 0
        # Calls are made in the event loop's thread, which need not be that of the constructor.
        self._table = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            self._fill(places)
        except sqlite3.OperationalError as error:
            raise FathomError(
                f"the index of --results could not be written to the temporary folder: {error}; name one with more "
                "space in the environment variable SQLITE_TMPDIR"
            ) from error

    def _fill(self, places: Iterable[tuple[bytes, _Place]]) -> None:
        self._table.executescript(
            f"PRAGMA cache_size = -{CACHE_KIB}; PRAGMA journal_mode = OFF; PRAGMA temp_store = FILE;"
            "CREATE TABLE places (key BLOB, file INTEGER, start INTEGER)"
        )
        self._table.execute("BEGIN")
        self._table.executemany("INSERT INTO places VALUES (?, ?, ?)", ((key, *place) for key, place in places))
        # Keys are hashes. Sorted once at the end, they are written in order, and not each to another page. With all
        # columns, the index answers alone.
        self._table.execute("CREATE INDEX by_key ON places (key, file, start)")
        self._table.execute("COMMIT")
        [counts] = self._table.execute("SELECT count(*), count(DISTINCT key) FROM places")
        self.places, self.keys = map(int, counts)
        self._found = bytearray(self.places + 1)

    def find(self, key: bytes) -> list[_Place]:
        """The places of a key, in their order."""
        query = "SELECT file, start, rowid FROM places WHERE key = ? ORDER BY file, start"
        rows = self._table.execute(query, (key,)).fetchall()
        if rows and not self._found[rows[0][2]]:
            self._found[rows[0][2]] = True
            self.used += 1
        return [_Place(file, start) for file, start, _ in rows]

    def close(self) -> None:
        self._table.close()


def _key(custom_id: str) -> bytes:
    """A hash, which is shorter than an id; an id of others may have unpaired surrogates."""
    return hashlib.blake2b(custom_id.encode(errors="surrogatepass"), digest_size=16).digest()


def _parsed(line: bytes, path: Path, number: int) -> _Result:
    try:
        result = _Result.model_validate(json.loads(line))  # unlike pydantic's own parser, it reads unpaired surrogates
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise _not_a_result(path, number, f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise _not_a_result(path, number, f"it is not JSON: {error}") from None
    if result.response is None and result.error is None:
        raise _not_a_result(path, number, "it has neither a response nor an error; is this a file of requests?")
    return result


def _not_a_result(path: Path, number: int, problem: str) -> FathomError:
    expected = "expected the output file or the error file of a batch, complete; download it again or remove the line"
    return FathomError(f"--results {path}, line {number} is not a result: {problem}; {expected}")


class BatchEngine(BaseEngine):
    """Answers requests from the results of a batch, with the identity of the engine whose requests the batch made."""

    def __init__(self, engine: OpenAIEngine, results: Results) -> None:
        self.engine = engine
        self.results = results
        self.identity = engine.identity
        self.provides = engine.provides

    async def complete(self, request: Request) -> Completion:
        """The first completion among the results of a request. Raises EngineError if there is none."""
        failure = EngineError("the results have no answer to this request", retryable=True, hint=_AGAIN)
        for result in self.results.find(request_key(self.identity, request)):
            try:
                return self.engine.checked(self._completion(result), request)
            except EngineError as error:
                failure = error
        raise failure

    def _completion(self, result: _Result) -> Completion:
        response = result.response or _Response()
        body = response.body if result.error is None else {"error": result.error}
        # Read like the answer of a server, so the same answers give the same completions and the same failures.
        read = outcome(response.status_code, "no body", {}, json.dumps(body).encode(), self.engine.endpoint.shown)
        if read.completion is None:
            assert read.error is not None
            read.error.usage = read.usage
            raise read.error
        return read.completion

    async def close(self) -> None:
        self.results.close()
        await self.engine.close()


_AGAIN = "fathom plan with this journal makes a batch of the rest"
