"""Traces: spans of requests and jobs, sent to a collector where a setting names one.

FastAPI makes a request's span; here is where spans go, and what FastAPI cannot know: whose request it
is, and what happened to a job after its request had been answered.
"""

import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kit.logs import Ids
from kit.settings import ServiceSettings

UNTRACED = {"/livez", "/readyz", "/metrics", "/info"}
PROPAGATOR = TraceContextTextMapPropagator()


class Tracing:
    """Sends one service's spans, from a thread of its own; a collector that is away costs nothing."""

    def __init__(self, service: str, endpoint: str) -> None:
        try:  # the `tracing` extra
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            sys.stderr.write("OTEL_EXPORTER_OTLP_ENDPOINT needs pip install '.[tracing]'\n")
            raise SystemExit(2) from None
        resource = Resource.create({"service.name": service, "service.namespace": "switchboard"})
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        # Not the process's global provider: several services may live in one process.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("switchboard")

    @property
    def config(self) -> TelemetryConfig:
        """Return what FastAPI needs to make a span of each request."""
        return {**SILENT, "tracing": True, "tracer_provider": self._provider}

    def record(
        self,
        name: str,
        traceparent: str,
        began: float,
        ended: float,
        attributes: Mapping[str, str | int],
        *,
        failed: bool = False,
    ) -> None:
        """Add a span of something that is over to the trace of the request that asked for it.

        Times are seconds since the epoch.
        """
        parent = PROPAGATOR.extract({"traceparent": traceparent}, Context())
        start, end = int(began * 1e9), int(max(began, ended) * 1e9)
        span = self._tracer.start_span(
            name, context=parent, start_time=start, attributes=dict(attributes)
        )
        if failed:
            span.set_status(StatusCode.ERROR)
        span.end(end)

    def close(self) -> None:
        """Send what is left; blocking."""
        self._provider.shutdown()


def _is_untraced(scope: MutableMapping[str, Any]) -> bool:
    return scope.get("path") in UNTRACED


SILENT: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,  # the same variable would send metrics and logs as well
    "exclude": _is_untraced,
}


def begin(service: str, settings: ServiceSettings) -> Tracing | None:
    """Return where spans go, or None when no collector is set."""
    if settings.otlp_endpoint is None:
        return None
    return Tracing(service, str(settings.otlp_endpoint))


def continued(traceparent: str) -> str:
    """Return the header by which the next hop's span becomes a child of the current one."""
    carrier: dict[str, str] = {}
    PROPAGATOR.inject(carrier)
    return carrier.get("traceparent", traceparent)


def describe(ids: Ids) -> None:
    """Say on the current span whose request it is and under which id it is logged."""
    span = trace.get_current_span()
    span.set_attribute("switchboard.request_id", ids.request_id)
    if tenant := ids.tenant:
        span.set_attribute("switchboard.tenant", tenant)
