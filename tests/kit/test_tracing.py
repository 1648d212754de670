"""Spans reach a real collector, and one trace holds what one request caused."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import HttpUrl

from tests.kit import tiny
from tests.support import serve

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


class Collector:
    """Takes spans over OTLP/HTTP, as a collector does."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        self.url = ""

    def take(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [(names["service.name"], span) for span in scope.spans]

    def only(self) -> Any:
        [(_, span)] = self.spans
        return span


def attributes(span: Any) -> dict[str, Any]:
    return {
        a.key: a.value.int_value if a.value.HasField("int_value") else a.value.string_value
        for a in span.attributes
    }


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    collector.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


async def ask(collector: Collector, path: str, **headers: str) -> Any:
    """Ask a traced service once; all its spans are out when this returns."""
    async with serve(tiny.create_app(otlp_endpoint=HttpUrl(collector.url))) as client:
        return await client.get(path, headers=headers)


async def test_a_request_continues_its_callers_trace(collector: Collector):
    await ask(
        collector,
        "/items/7",
        **{"traceparent": PARENT, "X-Request-ID": "here", "X-Tenant": "acme"},
    )
    span = collector.only()
    assert span.trace_id.hex() == PARENT.split("-")[1]
    assert span.parent_span_id.hex() == PARENT.split("-")[2]
    assert span.name == "GET /items/{number}"
    assert attributes(span)["http.response.status_code"] == 200
    assert attributes(span)["switchboard.request_id"] == "here"


async def test_a_span_names_the_tenant_and_its_service(collector: Collector):
    await ask(collector, "/who", **{"X-Tenant": "acme"})
    [(service, span)] = collector.spans
    assert service == "tiny"
    assert attributes(span)["switchboard.tenant"] == "acme"


async def test_the_next_hop_becomes_a_child_of_this_one(collector: Collector):
    answer = await ask(collector, "/who", traceparent=PARENT)
    _, trace_id, span_id, flags = answer.json()["traceparent"].split("-")
    assert trace_id == PARENT.split("-")[1]
    assert span_id == collector.only().span_id.hex()
    assert flags == "01"


async def test_a_trace_begins_here_when_nobody_brings_one(collector: Collector):
    answer = await ask(collector, "/who")
    assert answer.json()["traceparent"].split("-")[1] == collector.only().trace_id.hex()


async def test_who_does_not_want_a_trace_makes_none(collector: Collector):
    answer = await ask(collector, "/who", traceparent=UNSAMPLED)
    assert not collector.spans
    assert answer.json()["traceparent"].endswith("-00")


async def test_probes_and_metrics_are_not_traced(collector: Collector):
    await ask(collector, "/metrics")  # after many looks at /readyz
    assert not collector.spans


async def test_a_bug_is_a_failed_span_without_its_words(collector: Collector):
    await ask(collector, "/bug")
    span = collector.only()
    assert span.status.code == 2
    assert "secret" not in str(span)


async def test_without_a_collector_the_callers_trace_is_passed_on_untouched():
    async with serve(tiny.create_app()) as client:
        answer = await client.get("/who", headers={"traceparent": PARENT})
    assert answer.json()["traceparent"] == PARENT


async def test_a_collector_that_is_away_disturbs_nobody():
    with collecting() as gone:
        pass
    answer = await ask(gone, "/who")
    assert answer.status_code == 200


def test_the_collector_is_a_setting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    assert tiny.create_app().state.tracing is not None
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    assert tiny.create_app().state.tracing is None
