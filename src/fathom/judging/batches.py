"""Writes the requests of a run for OpenAI's Batch API and vLLM's `run-batch`: the work of `fathom plan`.

    engine = batch_engine(settings.engine)
    counter = preview(settings.engine, journal).counter
    with RequestFiles(Path("batch")) as files:
        rows = plan_batch(settings, comparisons, counter, engine, files)
    files.paths, counter.plan.calls

The results come back by `fathom gather`, which is `fathom judge` with the results in place of a model
(`engines.batch_files.BatchEngine`).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from fathom.data.atomic import atomic_write
from fathom.data.records import Comparison
from fathom.engines import AnyRequest, Request
from fathom.engines.batch_files import request_line
from fathom.engines.planning import CallCounter
from fathom.errors import FathomError
from fathom.judging.planning import plan, verdict
from fathom.settings import JudgingSettings

if TYPE_CHECKING:
    from fathom.engines.openai import OpenAIEngine

MAX_REQUESTS = 50_000
MAX_MEGABYTES = 200
"""OpenAI's limits on a file of requests (API reference, "Create batch")."""


class RequestFiles:
    """Writes lines to `folder/requests-1.jsonl` and further files, each within the limits of a provider.

    Use it as a context manager. `paths`: the files written. A file appears once it is complete.
    """

    def __init__(self, folder: Path, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_MEGABYTES * 10**6) -> None:
        self.folder = folder
        self.max_requests = max_requests
        self.max_bytes = max_bytes
        self.paths: list[Path] = []
        self._open = ExitStack()
        self._file: BinaryIO | None = None
        self._requests = self._bytes = 0

    def add(self, line: bytes) -> None:
        """Write a line. Raises FathomError for one that is longer than a file may be."""
        if len(line) > self.max_bytes:
            raise FathomError(
                f"a request has {len(line):,} bytes; expected at most {self.max_bytes:,}, the size of a file"
            )
        if self._file is None or self._requests == self.max_requests or self._bytes + len(line) > self.max_bytes:
            self._file = self._next()
        self._file.write(line)
        self._requests += 1
        self._bytes += len(line)

    def _next(self) -> BinaryIO:
        self._open.close()
        self._requests = self._bytes = 0
        self.paths.append(self.folder / f"requests-{len(self.paths) + 1}.jsonl")
        return self._open.enter_context(atomic_write(self.paths[-1]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._open.__exit__(*raised)  # type: ignore[arg-type]


def plan_batch(
    settings: JudgingSettings,
    comparisons: Iterable[Comparison],
    counter: CallCounter,
    engine: OpenAIEngine,
    files: RequestFiles,
) -> int:
    """Write every distinct request that the journal of `counter` does not answer. Returns the number of comparisons.

    A meta reward model selects among all votes, so it changes no request. Raises FathomError for settings that the run
    would reject, and for adaptive votes, whose calls depend on earlier answers.
    """
    if settings.voting.votes == "adaptive":
        raise FathomError(
            "--votes adaptive decides after each vote whether to cast another, which a batch cannot; expected a number"
        )

    def write(request: AnyRequest) -> None:
        # Completions only: `batch_engine` provides nothing else, and `plan` checks what the judge needs.
        files.add(request_line(engine, cast(Request, request)))

    counter.on_call = write
    return plan(settings, comparisons, counter, verdict)
