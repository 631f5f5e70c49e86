"""Makes SIGTERM and SIGHUP act like Ctrl-C, so that a stopped run closes its files and removes incomplete ones.

    end_as_interrupted()            # these signals now raise KeyboardInterrupt in the main thread
    exit_code(130)                  # 143 after SIGTERM, otherwise the argument

Signals that the process ignores stay ignored: `nohup` ignores SIGHUP, and shells ignore Ctrl-C in the background jobs
of a script.
"""

from __future__ import annotations

import signal
from types import FrameType

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

_received: list[int] = []


def end_as_interrupted() -> None:
    """Handle SIGTERM and SIGHUP as Ctrl-C. Call it in the main thread."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and hasattr(signal, "pthread_sigmask"):
        # `asyncio.run` cancels its tasks on an interrupt only if SIGINT has a Python handler, which `_interrupt` relies
        # on. So SIGINT gets that handler below, and is blocked here, because this process should ignore it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Call the handler of Ctrl-C. In `asyncio.run`, that cancels the tasks before KeyboardInterrupt is raised."""
    _received.append(number)
    handle = signal.getsignal(signal.SIGINT)
    if not callable(handle):  # Ctrl-C is ignored, as in the background jobs of a script
        raise KeyboardInterrupt
    handle(signal.SIGINT, frame)


def exit_code(otherwise: int | str | None) -> int | str | None:
    """128 plus the number of the last signal received, as in shells; `otherwise` if there was none."""
    return 128 + _received[-1] if _received else otherwise
