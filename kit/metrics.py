"""Prometheus instruments that all services share, and `/metrics`."""

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from starlette.responses import Response

ABANDONED = "499"  # nginx's status of a client that hung up before the answer
LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One service's instruments in a registry of their own, so that tests may build many apps."""

    def __init__(self, service: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # *_created doubles the size
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory, processor time, open files
        self.service = service
        self._http: dict[tuple[str, str, int | None], tuple[Counter, Histogram]] = {}
        http = ("service", "route", "method", "status")
        self.requests = self.counter("switchboard_http_requests", "Answered requests.", http)
        self.duration = self.histogram(
            "switchboard_http_request_duration_seconds", "Time to the end of the answer.", http
        )
        self._queues: list[tuple[Callable[[], float], Callable[[], float]]] = []
        self.gauge(
            "switchboard_queue_age_seconds", "Age of the oldest item that waits."
        ).set_function(lambda: max((age() for age, _ in self._queues), default=0.0))
        self.gauge(
            "switchboard_backlog_seconds", "Estimated time until all that waits or runs is done."
        ).set_function(lambda: max((backlog() for _, backlog in self._queues), default=0.0))
        self.batch_items = self.histogram(
            "switchboard_batch_items", "Items per batch.", buckets=(1, 2, 4, 8, 16, 32, 64)
        )
        self.batch_tokens = self.histogram(
            "switchboard_batch_tokens",
            "Padded tokens per batch.",
            buckets=(16, 64, 256, 1024, 4096, 16384),
        )
        self.padding = self.histogram(
            "switchboard_batch_padding_ratio",
            "Share of a batch that is padding.",
            buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75),
        )
        self.inference = self.histogram(
            "switchboard_inference_seconds", "Time in the model per batch."
        )
        self.shed = self.counter("switchboard_shed", "Requests refused to stay fast.", ("reason",))
        self.abandoned = self.counter(
            "switchboard_abandoned", "Requests whose client hung up before the answer."
        )
        self.dropped = self.counter(
            "switchboard_dropped_items", "Items that left the queue uncomputed.", ("reason",)
        )
        self.wasted = self.counter(
            "switchboard_wasted_inference_seconds", "Model time spent on abandoned work."
        )
        self.model = self.gauge(
            "switchboard_model_info", "Models in use.", ("model", "revision", "backend")
        )

    def counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        """Register a counter."""
        return Counter(name, text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        """Register a gauge."""
        return Gauge(name, text, labels, registry=self.registry)

    def histogram(
        self,
        name: str,
        text: str,
        labels: tuple[str, ...] = (),
        buckets: tuple[float, ...] = LATENCY_SECONDS,
    ) -> Histogram:
        """Register a histogram; the default buckets are seconds."""
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)

    def watch_queue(self, age: Callable[[], float], backlog: Callable[[], float]) -> None:
        """Ask these whenever metrics are read, from another thread; the longest queue counts."""
        self._queues.append((age, backlog))

    def answered(self, route: str, method: str, status: int | None, seconds: float) -> None:
        """Count and time a request under its route's template; no status: the client hung up."""
        key = (route, method, status)
        if key not in self._http:
            labels = (self.service, route, method, ABANDONED if status is None else str(status))
            self._http[key] = self.requests.labels(*labels), self.duration.labels(*labels)
        requests, duration = self._http[key]
        requests.inc()
        duration.observe(seconds)

    def response(self) -> Response:
        """Render the registry in Prometheus' text format."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)
