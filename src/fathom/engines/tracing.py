"""Passes the W3C trace context of a caller on to the servers that are called for it.

    with traced("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
        await engine.complete(request)              # the call has this `traceparent` header

Tasks inherit the context in which they are created, so calls made in tasks carry it too. A completion that several
callers await carries the trace of the first one. Source: W3C Trace Context, section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_TRACEPARENT: ContextVar[str | None] = ContextVar("traceparent", default=None)


@contextmanager
def traced(traceparent: str) -> Iterator[None]:
    """Send this `traceparent` header with all calls to servers that are made inside."""
    token = _TRACEPARENT.set(traceparent)
    try:
        yield
    finally:
        _TRACEPARENT.reset(token)


def headers() -> dict[str, str] | None:
    """The headers of a call made in this context; None outside `traced`."""
    value = _TRACEPARENT.get()
    return None if value is None else {"traceparent": value}
