"""The process that checks answers: a question a line of JSON in, what was found a line of JSON out.

It ends with its input. Where a check takes longer than twice its deadline in processor time, the system ends it, so
that none goes on for ever where nobody is left to kill it.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

from fathom.metrics.answers._equality import check


def main(limits: Mapping[str, Any]) -> None:
    out = _out()
    from math_verify import parse, verify

    _bound_memory(limits["memory"])
    for line in sys.stdin.buffer:
        _bound_time(limits["deadline"])
        question = json.loads(line)
        told = _checked(parse, verify, **question) if question else {}
        out.write(json.dumps(told).encode() + b"\n")
        out.flush()


def _out() -> BinaryIO:
    """Where answers go. What libraries print goes nowhere, so that it cannot be taken for one."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return out


def _bound_memory(size: int) -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _bound_time(seconds: float) -> None:
    if sys.platform != "win32":
        import resource

        used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + 2 * seconds) + 1, hard))


def _checked(parse: Any, verify: Any, answer: str, reference: str) -> dict[str, Any]:
    """Any error means that there is no telling: MemoryError and RecursionError come from what models write."""
    try:
        equal, reason = check(parse, verify, answer, reference)
    except Exception:  # noqa: BLE001
        equal, reason = None, "died"
    return {"equal": equal, "reason": reason}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
