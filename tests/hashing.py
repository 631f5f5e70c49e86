"""An engine whose text depends on the request alone, so that runs on one machine and on many are equal.

fathom judge pairs.jsonl --engine tests/hashing.py:judge
fathom label solutions.jsonl --engine tests/hashing.py:policy
"""

from __future__ import annotations

import hashlib

from fathom import ScriptedEngine
from fathom.engines import Request

VERDICTS = ("Final verdict: [[A]]", "Final verdict: [[B]]", "I cannot say.")
ANSWERS = (r"So it is \boxed{5}.", r"So it is \boxed{6}.", r"So it is \boxed{5}.", "I cannot say.")


def judge() -> ScriptedEngine:
    """Writes verdicts, and at times none."""
    return ScriptedEngine(lambda request: VERDICTS[_number(request) % len(VERDICTS)], "hashing judge")


def policy() -> ScriptedEngine:
    """Solves tasks whose answer is 5, most of the time."""
    return ScriptedEngine(lambda request: ANSWERS[_number(request) % len(ANSWERS)], "hashing policy")


def step_judge() -> ScriptedEngine:
    """Names a first wrong step, or none, as ProcessBench asks."""
    return ScriptedEngine(lambda request: rf"So \boxed{{{_number(request) % 3 - 1}}}.", "hashing judge of steps")


def _number(request: Request) -> int:
    told = repr((request.messages, request.prefix, request.sample))
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:4], "big")
