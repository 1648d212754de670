"""What every service promises: errors, limits, deadlines, ids, probes, the token."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from starlette.types import Receive, Scope, Send

from kit import deadline
from kit.app import Resources
from kit.errors import ServiceError
from kit.exchange import ExchangeMiddleware
from kit.health import Health
from kit.metrics import Metrics
from tests.kit import tiny
from tests.support import client_for, serve, until

PROBLEM = "application/problem+json"


async def test_an_error_is_a_problem_with_the_requests_id():
    async with serve(tiny.create_app()) as client:
        answer = await client.get("/nowhere", headers={"X-Request-ID": "abc"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == PROBLEM
    assert answer.headers["x-request-id"] == "abc"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "Not Found",
        "request_id": "abc",
    }


async def test_a_wrong_field_is_named_and_not_repeated():
    async with serve(tiny.create_app()) as client:
        answer = await client.post("/shout", json={"texts": [7]})
    assert answer.status_code == 422
    (line,) = answer.json()["errors"]
    assert (line["field"], line["in"]) == ("texts.0", "body")
    assert "7" not in line["message"]


async def test_a_bug_is_a_500_without_internals_and_with_the_id():
    async with serve(tiny.create_app()) as client:
        answer = await client.get("/bug")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_a_wrong_method_is_told_every_right_one():
    async with serve(tiny.create_app()) as client:
        answer = await client.put("/bug")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, DELETE"


async def test_half_a_character_is_the_callers_mistake():
    def stores(texts: list[str]) -> list[str]:
        return [text.encode().decode() for text in texts]

    async with serve(tiny.create_app(stores)) as client:
        json = {"Content-Type": "application/json"}
        answer = await client.post("/shout", content=rb'{"texts": ["\ud800"]}', headers=json)
    assert answer.status_code == 422
    assert "lone surrogate" in answer.json()["detail"]


async def test_a_dialects_path_answers_in_its_own_shape():
    async with serve(tiny.create_app()) as client:
        answer = await client.get("/items/seven")
    assert answer.status_code == 422
    assert list(answer.json()) == ["error"]


async def test_the_api_document_says_how_errors_look():
    async with serve(tiny.create_app()) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    responses = paths["/shout"]["post"]["responses"]
    assert list(responses["default"]["content"]) == [PROBLEM]
    assert "422" not in responses  # the framework's own error shape is never sent


async def test_every_error_class_has_a_status_of_its_own():
    classes = set(ServiceError.__subclasses__())
    statuses = {error.status for error in classes}
    assert len(statuses) == len(classes)
    assert all(400 <= status < 600 for status in statuses)


async def test_overload_says_when_to_come_back_in_seconds_and_milliseconds():
    async with serve(tiny.create_app()) as client:
        answer = await client.get("/busy")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "2"
    assert answer.headers["retry-after-ms"] == "1250"


async def test_a_body_that_states_too_much_is_refused():
    async with serve(tiny.create_app(max_body_bytes=100)) as client:
        answer = await client.post("/shout", json={"texts": ["x" * 200]})
    assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)


async def test_a_body_that_states_nothing_is_refused_while_it_is_read():
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"texts": ["'
        for _ in range(50):
            yield b"x" * 10
        yield b'"]}'

    async with (
        tiny.on_socket(tiny.create_app(max_body_bytes=100)) as port,
        AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        answer = await client.post("/shout", content=chunks())
    assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)


async def test_a_request_over_its_budget_gets_504_and_its_work_is_cancelled():
    app = tiny.create_app()
    async with serve(app) as client:
        answer = await client.post("/forever", headers={"X-Request-Timeout-Ms": "50"})
        calls = app.state.resources["calls"]
    assert answer.status_code == 504
    assert answer.headers["content-type"] == PROBLEM
    assert (calls.started, calls.cancelled) == (1, 1)


async def test_a_service_has_a_budget_for_those_who_state_none():
    async with serve(tiny.create_app(request_timeout_seconds=0.05)) as client:
        answer = await client.post("/forever")
    assert answer.status_code == 504


async def test_the_timeout_of_openais_sdk_counts_as_budget():
    async with serve(tiny.create_app()) as client:
        answer = await client.get("/who", headers={"x-stainless-read-timeout": "7"})
    assert 6000 < int(answer.json()["X-Request-Timeout-Ms"]) <= 7000


@pytest.mark.parametrize("budget", ["soon", "-1", "0", "nan", "inf", ""])
async def test_a_budget_that_is_none_is_ignored(budget: str):
    async with serve(tiny.create_app()) as client:
        answer = await client.get("/who", headers={"X-Request-Timeout-Ms": budget})
    assert int(answer.json()["X-Request-Timeout-Ms"]) > 50_000


async def test_a_budget_that_is_all_but_spent_is_not_handed_on_as_none_at_all():
    handed_on: list[dict[str, str]] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        handed_on.append(deadline.outgoing_headers())
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    hop = ExchangeMiddleware(
        app, metrics=Metrics("test"), health=Health(), default_seconds=60, limit_bytes=100
    )
    async with AsyncClient(transport=ASGITransport(hop), base_url="http://hop") as client:
        await client.get("/", headers={"X-Request-Timeout-Ms": "0.9"})
    assert handed_on == [{"X-Request-Timeout-Ms": "1"}]


async def test_an_answer_that_has_begun_may_take_longer_than_the_budget():
    async with serve(tiny.create_app()) as client:
        answer = await client.get("/stream", headers={"X-Request-Timeout-Ms": "100"})
    assert answer.text == "one\ntwo\n"


async def test_a_client_that_hangs_up_cancels_its_route():
    app = tiny.create_app()
    async with tiny.on_socket(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /forever HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        calls = app.state.resources["calls"]
        await until(_reaches(calls, "started"))
        writer.close()
        await until(_reaches(calls, "cancelled"))
        assert app.state.metrics.registry.get_sample_value("switchboard_abandoned_total") == 1
        assert await reader.read() == b""
    assert _counted(app, route="/forever", method="POST", status="499") == 1


async def test_a_bug_is_counted_as_such():
    app = tiny.create_app()
    async with serve(app) as client:
        await client.get("/bug")
    assert _counted(app, route="/bug", method="GET", status="500") == 1


def _counted(app: FastAPI, **labels: str) -> float | None:
    registry = app.state.metrics.registry
    name = "switchboard_http_requests_total"
    value: float | None = registry.get_sample_value(name, {"service": "tiny", **labels})
    return value


def _reaches(calls: tiny.Calls, name: str) -> Callable[[], Awaitable[bool]]:
    async def one() -> bool:
        return bool(getattr(calls, name) == 1)

    return one


async def test_the_token_is_asked_for_except_by_probes():
    async with serve(tiny.create_app(internal_token="s3cret")) as client:
        without = await client.get("/who")
        wrong = await client.get("/who", headers={"X-Internal-Token": "guess"})
        right = await client.get("/who", headers={"X-Internal-Token": "s3cret"})
        probes = [(await client.get(path)).status_code for path in ("/livez", "/metrics")]
        others = [
            (await client.get(path)).status_code for path in ("/info", "/docs", "/openapi.json")
        ]
    assert (without.status_code, wrong.status_code, right.status_code) == (401, 401, 200)
    assert others == [401, 401, 401]
    assert probes == [200, 200]


async def test_the_tenant_is_taken_from_its_header_if_it_is_a_name():
    async with serve(tiny.create_app()) as client:
        named = await client.get("/who", headers={"X-Tenant": "acme"})
        unnamed = await client.get("/who")
        wrong = await client.get("/who", headers={"X-Tenant": "a b"})
    assert (named.json()["tenant"], unnamed.json()["tenant"]) == ("acme", "default")
    assert wrong.status_code == 400


async def test_requests_are_counted_under_their_routes_template():
    async with serve(tiny.create_app()) as client:
        await client.get("/items/1")
        await client.get("/items/2")
        await client.get("/nowhere/3")
        metrics = (await client.get("/metrics")).text
    labels = 'method="GET",route="/items/{number}",service="tiny",status="200"'
    assert f"switchboard_http_requests_total{{{labels}}} 2.0" in metrics
    assert "/nowhere" not in metrics


async def test_a_service_that_starts_answers_probes_and_refuses_work():
    async with client_for(tiny.create_app()) as client:  # its life has not begun
        live, ready = await client.get("/livez"), await client.get("/readyz")
        work = await client.post("/shout", json={"texts": ["x"]})
    assert live.status_code == 200
    assert (ready.status_code, ready.json()["failures"]) == (503, {"state": "starting"})
    assert work.status_code == 503
    assert work.headers["content-type"] == PROBLEM


async def test_a_service_that_cannot_start_says_why_and_asks_for_a_restart():
    def broken(_: list[str]) -> list[str]:
        raise OSError("the model file is damaged")

    app = tiny.create_app(broken)
    async with app.router.lifespan_context(app), client_for(app) as client:

        async def is_broken() -> bool:
            return bool(app.state.health.is_broken)

        await until(is_broken)
        live = await client.get("/livez")
        ready = await client.get("/readyz")
    assert (live.status_code, ready.status_code) == (503, 503)
    assert "the model file is damaged" in live.json()["reason"]


async def test_a_service_that_is_told_to_stop_while_it_starts_stops_and_never_gets_ready():
    async def waits(_: FastAPI) -> AsyncGenerator[Resources]:
        await asyncio.Event().wait()  # for a database that never comes
        yield {}

    app = tiny.create_app(life=asynccontextmanager(waits))
    async with asyncio.timeout(10), app.router.lifespan_context(app):
        app.state.health.drain()  # as SIGTERM does
    assert app.state.health.is_draining


async def test_a_start_that_completes_after_the_order_to_stop_does_not_make_it_ready():
    app = tiny.create_app()
    app.state.health.drain()
    async with app.router.lifespan_context(app), client_for(app) as client:
        await until(_has_started(app))
        ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["state"]) == (503, "draining")


def _has_started(app: FastAPI) -> Callable[[], Awaitable[bool]]:
    async def has_started() -> bool:
        return bool(app.state.resources)

    return has_started
