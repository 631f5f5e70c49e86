"""Answers requests from a journal, so that an evaluation can be reproduced byte for byte without a model.

    engine = ReplayEngine("verdicts.jsonl.journal")
    completion = await engine.complete(request)     # EngineError if the journal has no answer to the request

It takes the identity of the engine that wrote the journal, because that is part of every key. Prompts are rendered
again, so another judge, style or sampling setting finds no stored answer. Failed calls were not stored, and fail here
too, with another message.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import cast

from fathom.engines import (
    Answer,
    AnyRequest,
    BaseEngine,
    Classification,
    ClassifyRequest,
    Completion,
    EngineError,
    Likelihood,
    LikelihoodRequest,
    Request,
    SlotRequest,
    SlotScores,
    States,
    StatesRequest,
    StepRequest,
    StepScores,
)
from fathom.engines.cache import decode_answer, request_key
from fathom.engines.journal import find, read_only
from fathom.errors import FathomError


class ReplayEngine(BaseEngine):
    """Answers requests from `journal`, which it opens for reading only.

    `identity`: the engine to replay, needed if several engines wrote to the journal. Raises FathomError for a file that
    is not a journal, for an unknown identity, and if `identity` is needed and missing.
    """

    provides = frozenset(
        {"text", "logprobs", "prefix", "likelihood", "soft_values", "classification", "hidden_states", "steps", "slot"}
    )

    def __init__(self, journal: str | Path, *, identity: str | None = None) -> None:
        self.path = Path(journal)
        self._journal = read_only(self.path)
        self.identity = _chosen(self.path, _recorded(self._journal), identity)

    async def complete(self, request: Request) -> Completion:
        return cast(Completion, self._stored(request))

    async def likelihood(self, request: LikelihoodRequest) -> Likelihood:
        return cast(Likelihood, self._stored(request))

    async def classify(self, request: ClassifyRequest) -> Classification:
        return cast(Classification, self._stored(request))

    async def states(self, request: StatesRequest) -> States:
        return cast(States, self._stored(request))

    async def steps(self, request: StepRequest) -> StepScores:
        return cast(StepScores, self._stored(request))

    async def slot(self, request: SlotRequest) -> SlotScores:
        return cast(SlotScores, self._stored(request))

    def _stored(self, request: AnyRequest) -> Answer:
        # Not in a thread: a lookup by primary key takes less time than the handover.
        key = request_key(self.identity, request)
        (stored,) = find(self._journal, [key])
        if stored is None:
            hint = "give the file, judge, style, prompt and sampling with which it was written"
            raise EngineError(f"{self.path} has no completion for this prompt, sampling and sample number", hint=hint)
        return decode_answer(request, stored)

    async def close(self) -> None:
        self._journal.close()


def _recorded(journal: sqlite3.Connection) -> list[str]:
    """The identities of the engines that wrote the journal; none in journals of older versions."""
    tables = {name for (name,) in journal.execute("SELECT name FROM sqlite_master")}
    rows = journal.execute("SELECT identity FROM engines ORDER BY identity") if "engines" in tables else ()
    return [str(identity) for (identity,) in rows]


def _chosen(path: Path, recorded: list[str], identity: str | None) -> str:
    if not recorded and identity:  # a journal of an older version
        return identity
    if identity is None and len(recorded) == 1:
        return recorded[0]
    names = ", ".join(recorded) or "none (an older version wrote it)"
    if identity is None:
        raise FathomError(f"{path} has no single engine to replay; choose one with identity=...: {names}")
    if identity not in recorded:
        raise FathomError(f"{path} has no completions of identity={identity!r}; expected one of: {names}")
    return identity
