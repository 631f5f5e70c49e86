"""Runs coroutines on an event loop in a thread, for synchronous code and for code on other loops.

The caller's thread may already run a loop, as in a notebook or a trainer, so that loop cannot be used. What belongs to
one loop, such as connections and locks, stays usable when the caller's loop ends.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from threading import Lock, Thread
from typing import Any, TypeVar

Result = TypeVar("Result")


class LoopThread:
    """An event loop in a daemon thread. The first call starts it, also the first one after a fork."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()
        self._lock = Lock()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine and wait for its result. An interrupt in the caller's thread cancels it."""
        waited = asyncio.run_coroutine_threadsafe(work, self._started())
        try:
            return waited.result()
        except BaseException:
            waited.cancel()
            raise

    async def awaited(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine without blocking the caller's loop. Cancelling the caller cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._started()))

    @property
    def running(self) -> bool:
        """Whether the loop runs in this process."""
        return self._loop is not None and self._process == os.getpid()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._process != os.getpid():  # threads do not survive a fork
                self._process = os.getpid()
                self._loop = asyncio.new_event_loop()
                Thread(target=self._loop.run_forever, name="fathom rewards", daemon=True).start()
            return self._loop

    def close(self) -> None:
        """Stop the loop. A later call starts a new one."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._loop = None
