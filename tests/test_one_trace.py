"""What one request causes is one trace, from the gateway to the worker, and its log lines name it."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from pydantic import HttpUrl

from kit import logs
from services.gateway import app as gateway
from services.gateway.settings import Settings as GatewaySettings
from services.imagegen import app as imagegen
from services.imagegen import worker
from services.imagegen.queue import connect
from services.imagegen.settings import Settings, WorkerSettings
from tests.collector import Collector, attributes, collecting
from tests.imagegen.fakes import PlainModel, PlainPainter, finished
from tests.support import Network, serve

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PROMPT = "a cerulean zeppelin"
KEY = "sk-not-for-the-log"


class Failing(PlainModel):
    """Fails at the picture that is ordered, not at the one to warm up with."""

    def predict(self, rows: Any) -> list[None]:
        if PROMPT in {row.drawing.prompt for row in rows}:
            raise RuntimeError("the brush is lost")
        return super().predict(rows)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture
async def empty_queue(redis_url: str) -> None:
    async with connect(redis_url) as client:
        await client.flushdb()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Log as in production, and return the lines so far."""
    # A traceback reads source files, which the watched event loop forbids.
    monkeypatch.setattr("tests.support.blockbuster_ctx", lambda _: nullcontext())
    handlers, level, before = logging.root.handlers, logging.root.level, structlog.get_config()
    logs.configure("all", "info", "json")
    structlog.configure(cache_logger_on_first_use=False)  # later tests log as they did
    written = io.StringIO()
    [handler] = logging.root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    logging.root.handlers = handlers
    logging.root.setLevel(level)
    structlog.configure(**before)


async def drawn(redis_url: str, folder: Path, endpoint: str | None, model: PlainModel) -> str:
    """Order a picture at the gateway, wait for its end, stop everything; return the job's id."""
    tracing: dict[str, Any] = {"otlp_endpoint": HttpUrl(endpoint)} if endpoint else {}
    shared = {"redis_url": redis_url, "storage_url": str(folder), "log_requests": True, **tracing}
    api = imagegen.create_app(Settings(fsync_wait_ms=0, **shared))
    painting = worker.create_app(
        WorkerSettings(fsync_wait_ms=0, **shared), PlainPainter(model=model)
    )
    door = gateway.create_app(
        GatewaySettings(
            imagegen_url=HttpUrl("http://imagegen"),
            models_dir=Path(".models"),
            log_requests=True,
            **tracing,
        ),
        transport=Network({"imagegen": api}),
    )
    async with serve(painting), serve(api) as direct, serve(door) as client:
        answer = await ordered(client)
        await finished(direct, answer.headers["Location"])
        await asyncio.sleep(0)
    return str(answer.json()["id"])


async def ordered(client: httpx2.AsyncClient) -> httpx2.Response:
    headers = {"traceparent": PARENT, "X-Request-ID": "the-order", "Authorization": f"Bearer {KEY}"}
    answer = await client.post("/v1/images", json={"prompt": PROMPT}, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer


@pytest.mark.usefixtures("empty_queue")
async def test_a_picture_is_one_trace_from_the_gateway_to_the_workers_painting(
    redis_url: str, tmp_path: Path, collector: Collector
):
    job = await drawn(redis_url, tmp_path, collector.url, PlainModel())
    ours = [(s, span) for s, span in collector.spans if span.trace_id.hex() == PARENT.split("-")[1]]
    spans = {(service, span.name): span for service, span in ours}
    assert set(spans) >= {("worker", "wait"), ("worker", "paint")}
    services = {service: span for (service, name), span in spans.items() if name.startswith("POST")}
    door, api = services["gateway"], services["imagegen"]
    waited, painted = spans["worker", "wait"], spans["worker", "paint"]
    assert door.parent_span_id.hex() == PARENT.split("-")[2]
    assert api.parent_span_id == door.span_id
    assert waited.parent_span_id == painted.parent_span_id == api.span_id
    assert waited.end_time_unix_nano == painted.start_time_unix_nano
    assert painted.end_time_unix_nano > painted.start_time_unix_nano
    assert attributes(painted)["switchboard.job"] == job
    assert attributes(painted)["switchboard.request_id"] == "the-order"
    assert attributes(painted)["switchboard.outcome"] == "done"
    assert PROMPT not in str(collector.spans)


@pytest.mark.usefixtures("empty_queue")
async def test_a_failed_picture_is_a_failed_span(
    redis_url: str, tmp_path: Path, collector: Collector
):
    await drawn(redis_url, tmp_path, collector.url, Failing())
    [painted] = [span for _, span in collector.spans if span.name == "paint"]
    assert (painted.status.code, attributes(painted)["switchboard.outcome"]) == (2, "failed")


@pytest.mark.usefixtures("empty_queue")
async def test_log_lines_of_gateway_service_and_worker_name_the_request_and_no_content(
    redis_url: str, tmp_path: Path, logged: Any
):
    await drawn(redis_url, tmp_path, None, Failing())
    lines = logged()
    ours = [line for line in lines if line.get("request_id") == "the-order"]
    orders = [line for line in ours if line["event"] == "request"]
    assert [(line["method"], line["status"]) for line in orders] == [("POST", 202)] * 2
    [failed] = [line for line in ours if line["event"] == "job_failed"]
    assert (failed["tenant"], failed["traceparent"]) == ("default", PARENT)
    text = json.dumps(lines)
    assert PROMPT not in text
    assert KEY not in text
