"""Native paths pass through unchanged; what belongs to sockets is tested over real ones."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from starlette.responses import JSONResponse, StreamingResponse

import kit.client
from services.gateway.app import create_app
from services.gateway.settings import Settings
from services.gateway.upstreams import PATHS, owner
from services.qa.app import create_app as create_qa
from services.qa.model import Reader
from services.qa.settings import Settings as QaSettings
from tests.gateway.support import FixedRouter, listening, served
from tests.support import until
from tests.text_models import FakeText, reads

ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
MEBIBYTE = 1024 * 1024


def echo() -> FastAPI:
    """Return a service that answers with what it received."""
    app = FastAPI(openapi_url=None)

    async def say(request: Request) -> Response:
        said = {
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.scope["query_string"].decode(),
            "headers": request.headers.items(),
            "body": (await request.body()).decode("latin-1"),
        }
        headers = {
            "Location": "/v1/images/j1",
            "Retry-After": "3",
            "ETag": '"abc"',
            "Connection": "close, X-Hop",
        }
        return JSONResponse(said, int(request.query_params.get("status", 200)), headers)

    app.add_api_route("/{path:path}", say, methods=ALL_METHODS)
    return app


@asynccontextmanager
async def before(service: str, app: Any, **settings: Any) -> AsyncGenerator[httpx2.AsyncClient]:
    """Yield a client of a gateway on a real socket, before a service on a real socket."""
    async with listening(app) as url:
        chosen = Settings(**{f"{service}_url": url, **settings})
        async with (
            listening(create_app(chosen, FixedRouter())) as front,
            httpx2.AsyncClient(base_url=front, timeout=30) as client,
        ):

            async def is_ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await until(is_ready)
            yield client


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_method_path_query_and_body_arrive_as_they_were_sent(method: str):
    async with served(services={"imagegen": echo()}) as client:
        answer = await client.request(
            method, "/v1/images/a%2Fb/%D1%8F?x=1&x=2&y=%20&z", content=b"\x00\xffbody"
        )
    said = answer.json()
    assert said["method"] == method
    assert said["path"] == "/v1/images/a%2Fb/%D1%8F"
    assert said["query"] == "x=1&x=2&y=%20&z"
    assert said["body"].encode("latin-1") == b"\x00\xffbody"


@pytest.mark.parametrize("status", [200, 201, 202, 302, 304, 404, 409, 422, 429, 500, 503])
async def test_the_status_and_the_headers_come_back_as_they_were_answered(status: int):
    async with served(services={"imagegen": echo()}) as client:
        answer = await client.get("/v1/images/j1", params={"status": status})
    assert answer.status_code == status
    assert answer.headers["location"] == "/v1/images/j1"
    assert answer.headers["retry-after"] == "3"
    assert answer.headers["etag"] == '"abc"'
    assert "connection" not in answer.headers


async def test_headers_of_one_connection_stay_on_it_and_the_others_arrive():
    sent = [
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "mine"),
        ("TE", "trailers"),
        ("Accept-Language", "ru"),
        ("X-Twice", "a"),
        ("X-Twice", "b"),
        ("X-Request-ID", "r-1"),
        ("traceparent", "00-1-2-01"),
        ("X-Request-Timeout-Ms", "5000"),
    ]
    async with served(services={"qa": echo()}) as client:
        answer = await client.post("/v1/answer", content=b"{}", headers=sent)
    headers = [(name, value) for name, value in answer.json()["headers"]]
    names = [name for name, _ in headers]
    assert not {"x-hop", "te"} & set(names)
    assert ("accept-language", "ru") in headers
    assert [value for name, value in headers if name == "x-twice"] == ["a", "b"]
    assert ("x-request-id", "r-1") in headers
    assert ("traceparent", "00-1-2-01") in headers
    assert ("x-tenant", "default") in headers
    assert names.count("host") == names.count("x-request-timeout-ms") == 1
    assert 0 < int(dict(headers)["x-request-timeout-ms"]) <= 5000
    assert answer.headers.get_list("x-request-id") == ["r-1"]


async def test_a_body_without_stated_length_stays_so_and_one_with_keeps_it():
    async def parts() -> AsyncGenerator[bytes]:
        yield b"one "
        yield b"two"

    async with before("qa", echo()) as client:
        chunked = (await client.post("/v1/answer", content=parts())).json()
        whole = (await client.post("/v1/answer", content=b"one two")).json()
        empty = (await client.post("/v1/answer")).json()
    assert chunked["body"] == whole["body"] == "one two"
    assert dict(chunked["headers"])["transfer-encoding"] == "chunked"
    assert dict(whole["headers"])["content-length"] == "7"
    assert "transfer-encoding" not in dict(empty["headers"])


async def test_what_the_caller_did_not_offer_to_decode_is_not_asked_for():
    async with served(services={"qa": echo()}) as client:
        del client.headers["accept-encoding"]
        answer = await client.get("/v1/answer")
        offered = await client.get("/v1/answer", headers={"Accept-Encoding": "gzip"})
    assert dict(answer.json()["headers"])["accept-encoding"] == "identity"
    assert dict(offered.json()["headers"])["accept-encoding"] == "gzip"


@pytest.mark.parametrize("service", list(PATHS))
async def test_every_path_of_a_service_reaches_it_and_no_other(service: str):
    others = [name for name in PATHS if name != service]
    async with served(services={service: echo()}) as client:
        for prefix in PATHS[service]:
            for path in (prefix, f"{prefix}/x/y"):
                assert (await client.get(path)).json()["path"] == path
        for other in others:
            assert (await client.get(PATHS[other][0])).status_code == 502


def test_no_path_has_two_owners():
    prefixes = [prefix for service in PATHS.values() for prefix in service]
    assert len(prefixes) == len(set(prefixes))
    assert all(owner(prefix) == name for name, group in PATHS.items() for prefix in group)
    assert owner("/metrics") is None


@pytest.mark.parametrize(
    "path",
    ["/v1/images/%2e%2e/%2e%2e/metrics", "/v1/images/%2E./x", "/v2/./../metrics"],
)
async def test_a_dot_segment_does_not_climb_out_of_a_services_public_paths(path: str):
    async with before("imagegen", echo()) as client:
        host, port = client.base_url.host, client.base_url.port
        reader, writer = await asyncio.open_connection(host, port)
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 404")


async def test_a_service_that_is_gone_is_a_502_with_its_name():
    async with served() as client:
        answer = await client.post("/v1/classify", json={"texts": ["hi"]})
    assert answer.status_code == 502
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "The service classifier cannot be reached."
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_a_silent_service_is_a_504_with_its_name_and_is_left_alone():
    left = anyio.Event()

    async def silent(scope: Any, receive: Any, _send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/v1/answer":
            while (await receive())["type"] != "http.disconnect":
                pass
            left.set()

    async with before("qa", silent) as client:
        answer = await client.post(
            "/v1/answer", content=b"{}", headers={"X-Request-Timeout-Ms": "300"}
        )
        await in_time(left)
    assert answer.status_code == 504
    assert answer.json()["detail"] == "The service qa did not answer in time."


async def test_a_service_may_think_for_the_whole_budget(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kit.client, "STREAM_IDLE_SECONDS", 0.05)

    async def thinks(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await anyio.sleep(0.3)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

    async with before("qa", thinks) as client:
        answer = await client.get("/v1/answer", headers={"X-Request-Timeout-Ms": "20000"})
    assert answer.status_code == 204


async def test_an_answer_that_breaks_off_breaks_off_for_the_caller_as_well():
    async def half(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/v1/answer":
            head = [(b"content-length", b"100")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise ConnectionAbortedError

    async with before("qa", half) as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            await client.get("/v1/answer")
        assert (await client.get("/readyz")).status_code == 200


async def test_events_arrive_one_by_one_while_the_service_still_speaks():
    heard = asyncio.Event()

    async def speak() -> AsyncGenerator[str]:
        yield "data: first\n\n"
        await heard.wait()
        yield "data: second\n\n"

    app = FastAPI(openapi_url=None)
    app.add_api_route(
        "/v1/images/j1/events",
        lambda: StreamingResponse(speak(), media_type="text/event-stream"),
        methods=["GET"],
    )
    async with (
        before("imagegen", app) as client,
        client.stream("GET", "/v1/images/j1/events") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        assert await anext(lines) == "data: first"
        heard.set()
        assert [line async for line in lines if line] == ["data: second"]


async def test_an_upload_reaches_the_service_while_it_is_still_being_sent():
    arrived = asyncio.Event()

    async def take(request: Request) -> dict[str, int]:
        size = 0
        async for part in request.stream():
            size += len(part)
            arrived.set()
        return {"size": size}

    async def parts() -> AsyncGenerator[bytes]:
        yield b"first"
        await asyncio.wait_for(arrived.wait(), 10)
        yield b"second"

    app = FastAPI(openapi_url=None)
    app.add_api_route("/v1/collections/c/documents", take, methods=["POST"])
    async with before("rag", app) as client:
        answer = await client.post("/v1/collections/c/documents", content=parts())
    assert answer.json() == {"size": 11}


async def test_a_large_body_passes_both_ways_bit_for_bit():
    body = hashlib.shake_256(b"a large body").digest(24 * MEBIBYTE)

    async def back(request: Request) -> Response:
        return Response(await request.body())

    app = FastAPI(openapi_url=None)
    app.add_api_route("/v1/blends", back, methods=["POST"])
    async with before("imagegen", app) as client:
        answer = await client.post("/v1/blends", content=body)
    assert answer.content == body


async def test_a_body_over_the_gateways_limit_is_refused_however_it_is_sent():
    async def parts() -> AsyncGenerator[bytes]:
        for _ in range(4):
            yield bytes(1024)

    async with before("rag", echo(), max_body_bytes=2048) as client:
        stated = await client.post("/v1/embeddings", content=bytes(4096))
        found = await client.post("/v1/embeddings", content=parts())
    assert (stated.status_code, found.status_code) == (413, 413)


@pytest.mark.parametrize("has_begun", [False, True])
async def test_a_caller_who_hangs_up_cancels_the_work_in_the_service(has_begun: bool):
    started, left = anyio.Event(), anyio.Event()

    async def works(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/v1/answer":
            return
        if has_begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"...", "more_body": True})
        started.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with before("qa", works) as client:
        caller = asyncio.create_task(client.post("/v1/answer", content=b"{}"))
        await in_time(started)
        assert not left.is_set()
        caller.cancel()
        await in_time(left)


async def test_a_stream_outlives_the_budget_of_its_first_byte():
    async def speak() -> AsyncGenerator[str]:
        yield "data: first\n\n"
        await anyio.sleep(0.6)
        yield "data: second\n\n"

    app = FastAPI(openapi_url=None)
    app.add_api_route("/v1/images/j1/events", lambda: StreamingResponse(speak()), methods=["GET"])
    async with before("imagegen", app) as client:
        answer = await client.get("/v1/images/j1/events", headers={"X-Request-Timeout-Ms": "400"})
    assert "second" in answer.text


async def in_time(event: anyio.Event) -> None:
    with anyio.fail_after(10):
        await event.wait()


async def test_a_service_that_refuses_an_upload_early_is_heard():
    async with before(
        "qa", create_qa(QaSettings(max_body_bytes=MEBIBYTE), Reader(FakeText(reads)))
    ) as client:
        answer = await client.post("/v1/answer", content=bytes(24 * MEBIBYTE))
    assert answer.status_code == 413
    assert "1048576 bytes" in answer.json()["detail"]
