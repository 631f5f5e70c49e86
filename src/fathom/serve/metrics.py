"""The server's metrics in Prometheus' format. They contain counts and times, never texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from fathom.engines.metering import Metered

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The metrics of one server, in a registry of their own: two servers in one process do not share counts."""

    def __init__(self, metered: Metered) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("fathom_requests", "Requests", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "fathom_request_seconds", "Time of a request", ["route"], buckets=SECONDS, registry=self.registry
        )
        self.in_progress = Gauge("fathom_requests_in_progress", "Requests in progress", registry=self.registry)
        self.judgments = Counter("fathom_judgments", "Judgments by status", ["status"], registry=self.registry)
        self.cached = Counter("fathom_judgments_cached", "Judgments that made no call", registry=self.registry)
        self.partial = Counter(
            "fathom_partial_groups", "Responses judged in an incomplete group", registry=self.registry
        )
        self.unscored = Counter(
            "fathom_unscored",
            "Responses that could not be scored, by protocol and by what was answered",
            ["protocol", "policy"],
            registry=self.registry,
        )
        self.registry.register(_Spending(metered))

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def judged(self, status: str, *, cached: bool, partial: bool = False) -> None:
        """Count a judgment."""
        self.judgments.labels(status).inc()
        if cached:
            self.cached.inc()
        if partial:
            self.partial.inc()


class _Spending(Collector):
    """The totals of the engine's meter, read when the metrics are."""

    def __init__(self, metered: Metered) -> None:
        self.metered = metered

    def collect(self) -> Iterator[CounterMetricFamily]:
        totals: Iterable[tuple[str, str, Callable[[], float]]] = (
            ("fathom_upstream_calls", "Calls to the model", lambda: self.metered.calls),
            ("fathom_upstream_tokens", "Tokens, estimated where none were reported", self._tokens),
        )
        for name, meaning, total in totals:
            yield CounterMetricFamily(name, meaning, value=total())

    def _tokens(self) -> float:
        return self.metered.estimated.tokens
