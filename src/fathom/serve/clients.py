"""Identifies clients by their token or address, and limits their requests.

tokens = read_tokens(Path("tokens.txt"))
client = identify("Bearer secret", "10.0.0.7", tokens)       # "token-0"; None if the token is wrong
clients = Clients(most=512, most_each=256, rate=100)
with clients.admitted(client): ...                           # raises TooManyRequests
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path

from fathom.errors import FathomError

REMEMBERED = 10_000
"""Maximum number of clients whose rate is tracked, so that many addresses cannot fill the memory."""
SHORTEST_TOKEN = 16


class TooManyRequests(Exception):  # noqa: N818 - the name of HTTP status 429
    """`retry_after`: seconds after which a request may be admitted."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def read_tokens(path: Path) -> tuple[bytes, ...]:
    """The SHA-256 of each token in a file with one per line. Raises FathomError for a file without usable tokens."""
    expected = f"expected a text file with a token of at least {SHORTEST_TOKEN} characters per line"
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise FathomError(f"--token-file {path}: cannot be read: {error}; {expected}") from None
    if not lines or min(map(len, lines)) < SHORTEST_TOKEN:
        raise FathomError(f"--token-file {path}: it has {'a short' if lines else 'no'} token; {expected}")
    return tuple(hashlib.sha256(line.encode()).digest() for line in lines)


def identify(authorization: str, host: str, tokens: Sequence[bytes]) -> str | None:
    """The client's name; None if a token is required and no valid one was sent.

    The time does not depend on the token sent: digests have equal lengths, and all of them are compared.
    """
    if not tokens:
        return host
    scheme, _, token = authorization.partition(" ")
    sent = hashlib.sha256(token.strip().encode(errors="surrogateescape")).digest()
    matches = [hmac.compare_digest(sent, known) for known in tokens]
    return f"token-{matches.index(True)}" if scheme.lower() == "bearer" and any(matches) else None


class Clients:
    """Limits the requests in progress, in total and per client, and the rate of each client.

    `rate`: requests per second, None for no limit. A client may send a burst of one second's requests at once, and at
    least one.
    """

    def __init__(
        self, most: int, most_each: int, rate: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most = most
        self.most_each = most_each
        self.rate = rate
        self.clock = clock
        self.in_progress: Counter[str] = Counter()
        self.total = 0
        self._next: OrderedDict[str, float] = OrderedDict()

    @contextmanager
    def admitted(self, client: str) -> Iterator[None]:
        """Count a request as in progress. Raises TooManyRequests if that would exceed a limit."""
        if self.total >= self.most:
            raise TooManyRequests(f"the server has {self.total} requests in progress, the most it takes", 1)
        if self.in_progress[client] >= self.most_each:
            raise TooManyRequests(f"you have {self.most_each} requests in progress, the most that a client may have", 1)
        self._take_turn(client)
        self.in_progress[client] += 1
        self.total += 1
        try:
            yield
        finally:
            self.total -= 1
            self.in_progress[client] -= 1
            if not self.in_progress[client]:
                del self.in_progress[client]

    def _take_turn(self, client: str) -> None:
        """Enforce the rate by a leaky bucket: each request moves the client's next free time by 1 / rate."""
        if self.rate is None:
            return
        now = self.clock()
        earliest = now - max(1.0, 1 / self.rate)  # a rate below one per second still permits the first request
        free = max(self._next.pop(client, earliest), earliest) + 1 / self.rate
        if free > now:
            self._next[client] = free - 1 / self.rate
            raise TooManyRequests(f"more than {self.rate:g} requests per second", max(1, ceil(free - now)))
        self._next[client] = free
        if len(self._next) > REMEMBERED:
            self._next.popitem(last=False)
