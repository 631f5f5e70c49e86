"""The arms that the paper compares, each trained and measured in the small world.

An arm is what a model is fine-tuned on: vanilla rationales (`base`), breadth everywhere, depth everywhere, or the mix of
breadth for preference and depth for correctness. Fine-tuning shows half of the verbs; RLVR shows them all, with labels
and nothing else. Both run through `fathom.train`, as a model of any size does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from fathom.judges import verdicts
from fathom.judges.mix import MixJudge
from fathom.engines import Sampling
from fathom.mini import base, world
from fathom.records import Domain
from fathom.verdict import Vote

Arm = Literal["base", "breadth", "depth", "mix"]
Stage = Literal["sft", "rlvr"]

ARMS: tuple[Arm, ...] = ("base", "breadth", "depth", "mix")
STAGES: tuple[Stage, ...] = ("sft", "rlvr")
FITTING: dict[Domain, str] = {"preference": "breadth", "correctness": "depth"}
"""The structure of rationale that fits a task of each domain."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one judgement of one held-out item showed. `accurate` is strict: an unreadable verdict is not accurate."""

    id: str
    domain: Domain
    seen: bool
    accurate: bool
    readable: bool
    structure: str | None
    principles: int
    tokens: int
    tokens_per_judgment: float

    @property
    def matches(self) -> bool:
        return self.structure == FITTING[self.domain]


async def _judge(model: Path, items: Sequence[world.Item], temperature: float, seed: int) -> list[Measured]:
    from fathom.engines.local import LocalEngine

    sampling = Sampling(temperature=temperature, max_tokens=192, seed=seed)
    judge = MixJudge(engine=LocalEngine(model), sampling=sampling, trained=True)
    count = base.tokenizer().encode
    answers = verdicts(judge, (item.comparison for item in items), concurrency=256)
    return [
        _measure(item, verdict.votes[0], lambda text: len(count(text)))
        for item, (_, verdict) in zip(items, [answer async for answer in answers], strict=True)
    ]
