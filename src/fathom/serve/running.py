"""Runs the server until it is stopped, and finishes the requests in progress.

    serve(settings, RewardSettings(), ServeSettings(port=0), started=print)

After SIGTERM or Ctrl-C the server still listens, but answers new requests with 503, so that a load balancer sends them
to another server. Requests in progress have `drain` seconds to finish. A second signal ends the server at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from fathom.engines import Engine
from fathom.errors import FathomError
from fathom.serve.admission import Admission
from fathom.serve.app import application
from fathom.serve.clients import read_tokens
from fathom.serve.service import Service, open_session
from fathom.settings import JudgingSettings, RewardSettings, ServeSettings

LOG = logging.getLogger("fathom.serve")
LAME_DUCK_SECONDS = 0.5
"""Seconds for which a drained server still listens, so that requests already sent get a response, even if a 503."""
BACKLOG = 2048
CONNECTIONS_PER_REQUEST = 20
"""Open connections per request that may be in progress. uvicorn answers further ones with 503."""


def serve(
    settings: JudgingSettings,
    rewards: RewardSettings,
    serving: ServeSettings,
    *,
    engine: Engine | None = None,
    started: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve until SIGTERM or Ctrl-C. `started` gets the address once the server listens.

    Raises FathomError for an address that other machines can reach without a token file, for an address in use, and
    for settings that do not fit each other.
    """
    tokens = check_address(serving)
    service = Service(open_session(settings, engine), rewards, serving)
    with listening(serving) as listener:
        configure_logs(verbose=serving.verbose)
        server = DrainingServer(application(service, tokens))
        # What exists by now lives as long as the server; a full collection would visit it, for tens of milliseconds.
        gc.collect()
        gc.freeze()
        started(address_of(serving, listener))
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(server.run_until_drained(listener))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's event loop, which is faster than asyncio's; None if it is not installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def check_address(serving: ServeSettings) -> tuple[bytes, ...]:
    """The digests of the tokens. Raises FathomError if other machines can reach the server without one."""
    if serving.token_file is not None:
        return read_tokens(serving.token_file)
    if not serving.is_local:
        raise FathomError(
            f"--host {serving.host} can be reached from other machines, so it needs --token-file FILE, with a secret "
            "per line that clients send as a bearer token"
        )
    return ()


def listening(serving: ServeSettings) -> socket.socket:
    """A listening socket. Raises FathomError if the address cannot be used."""
    family = socket.AF_INET6 if ":" in serving.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((serving.host, serving.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise FathomError(
            f"cannot listen on {serving.host}:{serving.port}: {error}; expected a free port of this machine, as in "
            "--port 8091, or --port 0 for any"
        ) from error
    return listener


def address_of(serving: ServeSettings, listener: socket.socket) -> str:
    """The server's address, as clients write it."""
    host = f"[{serving.host}]" if ":" in serving.host else serving.host
    return f"http://{host}:{listener.getsockname()[1]}"


def configure_logs(*, verbose: bool = False) -> None:
    """Log the server's own messages to stderr, and none of the engines', which may quote requests.

    With `verbose`, log every request, and tracebacks.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG if verbose else logging.INFO)
    LOG.propagate = False
    quiet = logging.getLogger("fathom.engines")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which drains before it closes."""

    def __init__(self, admission: Admission) -> None:
        # uvicorn uses httptools if it is installed, which is faster than its pure Python parser.
        config = uvicorn.Config(
            admission,
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="critical",
            server_header=False,
            proxy_headers=False,  # a client could otherwise name itself, and so evade the limits per client
            limit_concurrency=CONNECTIONS_PER_REQUEST * admission.service.serving.max_requests,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self.admission = admission
        self.service = admission.service
        self._told_to_stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run_until_drained(self, listener: socket.socket) -> None:
        """Serve on this socket until a signal arrives and the requests in progress are finished."""
        self._loop = asyncio.get_running_loop()
        warming = asyncio.create_task(self._warm_up())
        draining = asyncio.create_task(self._drain())
        try:
            await self.serve(sockets=[listener])
        finally:
            for task in (warming, draining):
                task.cancel()
            await self.service.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; end at once on a second signal."""
        if self._told_to_stop.is_set() or self._loop is None:
            self.force_exit = self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self._told_to_stop.set)

    def stop(self) -> None:
        """Begin to drain. Call it from the event loop."""
        self._told_to_stop.set()

    async def _drain(self) -> None:
        await self._told_to_stop.wait()
        self.service.health.draining = True
        LOG.info("draining: %d requests in progress", self.admission.in_progress)
        loop = asyncio.get_running_loop()
        latest = loop.time() + self.service.serving.drain
        quiet_since = loop.time()
        while loop.time() < quiet_since + LAME_DUCK_SECONDS:
            await asyncio.sleep(0.02)
            if self.admission.in_progress and loop.time() < latest:
                quiet_since = loop.time()
        if self.admission.in_progress:
            seconds = self.service.serving.drain
            LOG.warning("%d requests were not finished within %g s", self.admission.in_progress, seconds)
        self.should_exit = True

    async def _warm_up(self) -> None:
        problem = await self.service.warm_up()
        if problem:
            taken = "refused" if self.service.health.stopped else "taken nevertheless"
            LOG.warning("the self-test at the start failed; requests are %s: %s", taken, problem)
