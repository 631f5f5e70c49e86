"""Lets requests that arrive together begin one after the other, instead of in lockstep.

    turns = Turns()
    await turns()               # returns when this request may begin

A request needs several passes of the event loop before its call to the model is sent: its own task, that of the call,
and that of the connection. In each pass the loop advances all requests that are ready. So of n requests that arrive
together, none is sent before nearly all the work of all n is done; their answers arrive together again, and the next
requests of clients that wait for them, too. Each request then waits for n times the work of one, however idle the
processor is. In turns, the first request is sent after its own work, and the requests stay apart from then on.

It orders the beginnings only: requests are judged concurrently. `benchmarks/serve.py` measures what it saves.
"""

from __future__ import annotations

import asyncio
from collections import deque

PASSES = 2
"""Passes of the event loop after which the work of a request that begins has been sent."""


class Turns:
    """Gives turns in the order of the calls. Not for several event loops."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    async def __call__(self) -> None:
        """Wait for a turn; at once if nobody has one. A turn ends by itself, so it cannot be lost by a cancellation."""
        loop = asyncio.get_running_loop()
        if not self._taken:
            self._taken = True
            loop.call_soon(self._next, loop, PASSES)
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next(self, loop: asyncio.AbstractEventLoop, passes: int) -> None:
        if passes:
            loop.call_soon(self._next, loop, passes - 1)
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else its request was cancelled
                turn.set_result(None)
                loop.call_soon(self._next, loop, PASSES)
                return
        self._taken = False
