"""Spans reach a real collector, and one trace holds what one request caused."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import HttpUrl

from tests.collector import Collector, attributes, collecting
from tests.kit import tiny
from tests.support import serve

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


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
