"""The process that checks answers: reads one question per line of JSON, and writes one result per line of JSON.

It ends at the end of its input. The system kills it if a check takes more than twice its deadline in processor time, so
that it does not run forever if the parent process has died.
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
    _checked(parse, verify, r"$x = \frac{1}{2}$", "0.5")  # the first check loads much of sympy, outside any deadline
    for line in sys.stdin.buffer:
        _bound_time(limits["deadline"])
        question = json.loads(line)
        result = _checked(parse, verify, **question) if question else {}
        out.write(json.dumps(result).encode() + b"\n")
        out.flush()


def _out() -> BinaryIO:
    """The stream for results. Standard output is redirected, so that prints of libraries are not read as results."""
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
    """The result of a check; undecided after any error, as answers may cause MemoryError and RecursionError."""
    try:
        equal, reason = check(parse, verify, answer, reference)
    except Exception:  # noqa: BLE001
        equal, reason = None, "died"
    return {"equal": equal, "reason": reason}


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
