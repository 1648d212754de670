"""Calls between services keep budget, ids, token and errors."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import SecretStr

from kit.app import Resources, build_app
from kit.client import ServiceClient
from kit.errors import Overloaded, ServiceError, UpstreamFailed
from kit.settings import ServiceSettings
from tests.kit import tiny
from tests.support import Network, serve


@asynccontextmanager
async def client_of(app: FastAPI, token: str | None = None) -> AsyncGenerator[ServiceClient]:
    secret = SecretStr(token) if token else None
    network = Network({"tiny": app})
    async with (
        serve(app),
        ServiceClient("tiny", "http://tiny", token=secret, transport=network) as client,
    ):
        yield client


def front(client: ServiceClient) -> FastAPI:
    """Build a service that passes every call of `/relay` on to the tiny one."""
    router = APIRouter()

    @router.get("/relay/{path}")
    async def relay(path: str) -> Any:
        method = "POST" if path == "forever" else "GET"
        return await client.call(method, f"/{path}")

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncGenerator[Resources]:
        yield {}

    settings = ServiceSettings()
    return build_app("front", description="", settings=settings, routers=[router], life=life)


async def test_budget_and_ids_go_along():
    sent = {"X-Request-ID": "abc", "traceparent": "00-1-2-01", "X-Request-Timeout-Ms": "5000"}
    async with client_of(tiny.create_app()) as client, serve(front(client)) as outer:
        seen = (await outer.get("/relay/who", headers=sent)).json()
    assert (seen["X-Request-ID"], seen["traceparent"]) == ("abc", "00-1-2-01")
    assert 3000 < int(seen["X-Request-Timeout-Ms"]) <= 5000


async def test_a_service_that_takes_too_long_costs_the_rest_of_the_budget_and_not_more():
    app = tiny.create_app()
    async with client_of(app) as client, serve(front(client)) as outer:
        late = await outer.get("/relay/forever", headers={"X-Request-Timeout-Ms": "300"})
        calls = app.state.resources["calls"]
    assert late.status_code == 504
    assert calls.cancelled == 1


async def test_the_token_is_sent():
    async with client_of(tiny.create_app(internal_token="s3cret"), "s3cret") as client:
        assert (await client.call("GET", "/who"))["tenant"] == "default"


async def test_a_wrong_token_is_our_fault_and_not_the_callers():
    async with client_of(tiny.create_app(internal_token="s3cret"), "old") as client:
        with pytest.raises(UpstreamFailed, match="refused the token"):
            await client.call("GET", "/who")


async def test_a_problem_keeps_its_status_and_detail_over_the_hop():
    async with client_of(tiny.create_app()) as client:
        with pytest.raises(ServiceError, match="Not Found") as raised:
            await client.call("GET", "/nowhere")
    assert raised.value.status == 404


async def test_overload_keeps_its_advice_over_the_hop():
    async with client_of(tiny.create_app()) as client:
        with pytest.raises(Overloaded) as raised:
            await client.call("GET", "/busy")
    assert raised.value.retry_after_seconds == 1.25


async def test_a_bug_over_there_is_a_bad_gateway_here():
    async with client_of(tiny.create_app()) as client:
        with pytest.raises(UpstreamFailed, match="tiny failed"):
            await client.call("GET", "/bug")


async def test_a_service_that_is_not_there_is_named():
    async with ServiceClient("rag", "http://rag", transport=Network({})) as client:
        with pytest.raises(UpstreamFailed, match="rag cannot be reached"):
            await client.call("GET", "/who")


async def test_a_refused_connection_is_named_over_a_real_socket():
    async with ServiceClient("qa", "http://127.0.0.1:1") as client:
        with pytest.raises(UpstreamFailed, match="qa cannot be reached"):
            await client.request("GET", "/")


async def test_an_answer_that_is_not_json_is_a_bad_gateway():
    async def text(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, text="<html>")

    transport = httpx2.MockTransport(text)
    async with ServiceClient("qa", "http://qa", transport=transport) as client:
        with pytest.raises(UpstreamFailed, match="did not answer with JSON"):
            await client.call("GET", "/")


async def test_a_stream_is_handed_on_as_it_comes():
    async with (
        client_of(tiny.create_app()) as client,
        client.stream("GET", "/stream") as response,
    ):
        lines = [line async for line in response.aiter_lines()]
    assert lines == ["one", "two"]


@pytest.mark.parametrize("status", [307, 420, 499, 520, 999])
async def test_a_status_that_no_service_of_ours_has_is_a_bad_gateway(status: int):
    async def odd(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, json={"detail": "odd"})

    async with ServiceClient("qa", "http://qa", transport=httpx2.MockTransport(odd)) as client:
        with pytest.raises(UpstreamFailed, match=f"answered {status}"):
            await client.call("GET", "/")


@pytest.mark.parametrize("advice", ["nan", "inf", "soon"])
async def test_advice_that_is_no_number_does_not_hide_the_overload(advice: str):
    async def full(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(429, json={}, headers={"retry-after-ms": advice})

    async with ServiceClient("qa", "http://qa", transport=httpx2.MockTransport(full)) as client:
        with pytest.raises(Overloaded) as raised:
            await client.call("GET", "/")
    assert raised.value.retry_after_seconds == 1


async def test_advice_in_seconds_counts_where_there_is_none_in_milliseconds():
    async def full(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(429, json={}, headers={"Retry-After": "7"})

    async with ServiceClient("llm", "http://llm", transport=httpx2.MockTransport(full)) as client:
        with pytest.raises(Overloaded) as raised:
            await client.call("GET", "/")
    assert raised.value.retry_after_seconds == 7


async def test_the_code_that_an_error_has_in_its_dialect_survives_the_hop():
    async def unknown(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(404, json={"detail": "No such model.", "code": "model_not_found"})

    async with ServiceClient("qa", "http://qa", transport=httpx2.MockTransport(unknown)) as client:
        with pytest.raises(ServiceError, match="No such model") as raised:
            await client.call("GET", "/")
    assert raised.value.code == "model_not_found"
