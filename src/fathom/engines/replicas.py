"""Several servers with the same model: each call goes to the one with the fewest calls in flight.

    engine = ReplicatedEngine([OpenAIEngine("m", base_url=url, retries=0) for url in urls])

A failed call is repeated by another replica at once. A replica that refuses connections, or fails `FAILURES` times in a
row, gets no calls for `rest` seconds; then one call tries it again. So a dead replica costs time but no completion,
while another one works. The identity is that of the first replica, so adding replicas does not change journal keys.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fathom.engines import (
    Answer,
    AnyRequest,
    BaseEngine,
    Engine,
    EngineError,
    Meter,
    RunStoppedError,
    UniformEngine,
    answer,
)
from fathom.engines.limits import backoff
from fathom.engines.usage import Usage
from fathom.errors import FathomError

FAILURES = 3
"""Number of consecutive failures after which a replica gets no calls for `rest` seconds."""


@dataclass(eq=False)
class _Replica:
    engine: Engine
    in_flight: int = 0
    failures: int = 0
    rests_until: float = 0.0
    """Monotonic time until which it gets no calls."""
    stopped: bool = False
    """Whether its engine raised RunStoppedError, so that it must be closed before it makes calls again."""


class ReplicatedEngine(UniformEngine, BaseEngine):
    """Distributes calls over `engines`, which should not retry by themselves (`retries=0`).

    `retries`: maximum number of rounds over all replicas after the first one. `first_backoff`: seconds before the
    second round; later pauses are longer. `rest`: seconds. Raises FathomError for an empty sequence.
    """

    def __init__(
        self, engines: Sequence[Engine], *, retries: int = 8, first_backoff: float = 0.5, rest: float = 10.0
    ) -> None:
        if not engines:
            raise FathomError("got no replicas; expected at least one engine")
        self.replicas = [_Replica(engine) for engine in engines]
        self.retries = retries
        self.first_backoff = first_backoff
        self.rest = rest
        self.identity = engines[0].identity
        self.provides = frozenset.intersection(*(engine.provides for engine in engines))

    async def answer(self, request: AnyRequest) -> Answer:
        """The answer of the first replica that gives one. Raises the last error after all rounds."""
        usage = Usage()
        for number in range(self.retries + 1):
            errors: list[EngineError | RunStoppedError] = []
            left = list(self.replicas)
            while left:
                replica = self._choose(left)
                left.remove(replica)
                try:
                    return await self._ask(replica, request)
                except EngineError as error:
                    usage += error.usage
                    error.usage = usage
                    if not error.retryable:
                        raise
                    errors.append(error)
                except RunStoppedError as error:
                    if type(error) is not RunStoppedError:  # a bound or a missing capability applies to all replicas
                        raise
                    errors.append(error)
            stopped = [error for error in errors if isinstance(error, RunStoppedError)]
            if number == self.retries or len(stopped) == len(errors):
                break
            await asyncio.sleep(backoff(number + 1, number + 1, self.first_backoff))
        raise errors[-1]

    def _choose(self, among: Sequence[_Replica]) -> _Replica:
        """The replica not at rest with the fewest calls in flight; if all rest, the one whose rest ends first."""
        now = time.monotonic()
        awake = [replica for replica in among if replica.rests_until <= now]
        if not awake:
            return min(among, key=lambda replica: replica.rests_until)
        chosen = min(awake, key=lambda replica: replica.in_flight)
        if chosen.failures:
            chosen.rests_until = now + self.rest  # only this call tries it; others follow after a success
        return chosen

    async def _ask(self, replica: _Replica, request: AnyRequest) -> Answer:
        if replica.stopped:
            replica.stopped = False
            await replica.engine.close()
        replica.in_flight += 1
        try:
            result = await answer(replica.engine, request)
        except EngineError as error:
            if error.retryable:
                replica.failures += 1
                if error.kind == "unreachable" or replica.failures >= FAILURES:
                    replica.rests_until = time.monotonic() + self.rest
            raise
        except RunStoppedError:
            replica.failures += 1
            replica.stopped = True
            replica.rests_until = time.monotonic() + self.rest
            raise
        finally:
            replica.in_flight -= 1
        replica.failures, replica.rests_until = 0, 0.0
        return result

    def report_calls_to(self, meter: Meter) -> bool:
        reported = [replica.engine.report_calls_to(meter) for replica in self.replicas]  # each must know the meter
        return all(reported)

    def stop(self) -> None:
        for replica in self.replicas:
            replica.engine.stop()

    async def close(self) -> None:
        for replica in self.replicas:
            replica.stopped = False
            await replica.engine.close()
