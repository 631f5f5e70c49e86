"""SIGTERM and SIGHUP do what Ctrl-C does: what was begun is put in order, files half written are removed.

    end_as_interrupted()            # from now on each raises KeyboardInterrupt in the main thread
    exit_code(130)                  # 143 where SIGTERM came, else as given

Whoever ignores a signal, as `nohup` does with SIGHUP and a script's background job with Ctrl-C, goes on ignoring it.
"""

from __future__ import annotations

import signal
from types import FrameType

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

_received: list[int] = []


def end_as_interrupted() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and hasattr(signal, "pthread_sigmask"):
        # `asyncio.run` stops in good order only where Ctrl-C is handled. So it is, and none comes through.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """As Ctrl-C now would. `asyncio.run` handles that itself: it cancels the run first, and only then raises."""
    _received.append(number)
    handle = signal.getsignal(signal.SIGINT)
    if not callable(handle):  # Ctrl-C is ignored, as in the background jobs of a script
        raise KeyboardInterrupt
    handle(signal.SIGINT, frame)


def exit_code(otherwise: int | str | None) -> int | str | None:
    """128 and the signal's number, as shells count, where one ended this process."""
    return 128 + _received[-1] if _received else otherwise
