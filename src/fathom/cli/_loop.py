"""Runs the event loop of a verb that makes many calls.

run(judging())          # like `asyncio.run`, with less CPU time per call
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

ALLOCATIONS = 50_000
"""Containers allocated between two garbage collections; Python's default is 700. Reference counting frees almost all
objects of a call. A collection is needed only for rare cycles, and scans the objects of all calls in flight."""


def run_loop(main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` and return its result. On Ctrl-C, cancel it, let it clean up, and raise KeyboardInterrupt."""
    gc.freeze()  # collections skip the objects loaded by now, which stay alive for the whole run
    gc.set_threshold(ALLOCATIONS)
    return asyncio.run(main)
