"""Recorded completions as an engine: an evaluation is computed again, byte for byte, without a model.

    engine = ReplayEngine("verdicts.jsonl.journal")
    completion = await engine.complete(request)     # EngineError where the journal has no answer to it

It has the identity of the engine that wrote the journal, because that is part of every key. Prompts are made anew, so
a judge, style or sampling other than the recorded one asks what nobody has answered. Failed calls were never recorded:
they fail here too, in other words.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from fathom.engines import BaseEngine, Completion, EngineError, Request
from fathom.engines.cache import decode_completion, request_key
from fathom.engines.journal import find, read_only
from fathom.errors import FathomError


class ReplayEngine(BaseEngine):
    """Answers from `journal` alone, which it never writes to.

    `identity` names the engine to replay, where several wrote to the journal. Raises FathomError for a file that is no
    journal, and for an identity that is not in it or is needed and not given.
    """

    provides = frozenset({"text", "logprobs", "prefix"})

    def __init__(self, journal: str | Path, *, identity: str | None = None) -> None:
        self.path = Path(journal)
        self._journal = read_only(self.path)
        self.identity = _chosen(self.path, _recorded(self._journal), identity)

    async def complete(self, request: Request) -> Completion:
        # Read here and not in a thread: one look by primary key takes less time than handing it over.
        key = request_key(self.identity, request)
        (found,) = find(self._journal, [key])
        if found is None:
            hint = "give the file, judge, style, prompt and sampling with which it was written"
            raise EngineError(f"{self.path} holds no answer to this prompt, sampling and sample", hint=hint)
        return decode_completion(found)

    async def close(self) -> None:
        self._journal.close()


def _recorded(journal: sqlite3.Connection) -> list[str]:
    """The engines that wrote to it; none where a version wrote it that did not record them."""
    tables = {name for (name,) in journal.execute("SELECT name FROM sqlite_master")}
    rows = journal.execute("SELECT identity FROM engines ORDER BY identity") if "engines" in tables else ()
    return [str(identity) for (identity,) in rows]


def _chosen(path: Path, recorded: list[str], identity: str | None) -> str:
    if not recorded and identity:  # written by a version that did not record engines
        return identity
    if identity is None and len(recorded) == 1:
        return recorded[0]
    there = ", ".join(recorded) or "none (an older version wrote it)"
    if identity is None:
        raise FathomError(f"{path} does not say which engine to replay; name it with identity=...: {there}")
    if identity not in recorded:
        raise FathomError(f"{path} holds nothing of identity={identity!r}; it has: {there}")
    return identity
