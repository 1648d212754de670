"""Every error of a service comes in the shape of the dialect that its path speaks."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from kit import dialects
from kit.errors import ErrorShape, NotFound, problem_of
from tests.kit import tiny
from tests.support import client_for, serve

SHAPES = {
    "huggingface": dialects.huggingface,
    "tei": dialects.tei,
    "oip": dialects.oip,
    "openai": dialects.openai,
}
# What each dialect says beside the words themselves, by status.
EXPECTED: dict[str, dict[int, dict[str, Any]]] = {
    "huggingface": {},
    "oip": {},
    "tei": {
        **{status: {"error_type": "Validation"} for status in (400, 401, 404, 405, 413, 422)},
        **{status: {"error_type": "Backend"} for status in (500, 504)},
        429: {"error_type": "Overloaded"},
        503: {"error_type": "Unhealthy"},
    },
    "openai": {
        **{
            status: {"type": "invalid_request_error", "param": None, "code": None}
            for status in (400, 404, 405, 413)
        },
        **{
            status: {"type": "server_error", "param": None, "code": None}
            for status in (500, 503, 504)
        },
        401: {"type": "invalid_request_error", "param": None, "code": "invalid_api_key"},
        422: {"type": "invalid_request_error", "param": "texts.0", "code": None},
        429: {"type": "requests", "param": None, "code": "rate_limit_exceeded"},
    },
}


@asynccontextmanager
async def speaking(
    shape: ErrorShape, *, has_started: bool, **options: Any
) -> AsyncGenerator[httpx2.AsyncClient]:
    app = tiny.create_app(error_shapes={"/": shape}, **options)
    async with serve(app) if has_started else client_for(app) as client:
        yield client


async def refusals(shape: ErrorShape) -> list[httpx2.Response]:
    """Meet every kind of error, each made where it really is: in routes, framework, middlewares."""
    json = {"Content-Type": "application/json"}
    async with speaking(shape, has_started=True, max_body_bytes=100) as client:
        met = [
            await client.post("/shout", content=b"{", headers=json),
            await client.get("/nowhere"),
            await client.put("/bug"),
            await client.post("/shout", json={"texts": ["x" * 200]}),
            await client.post("/shout", json={"texts": [7]}),
            await client.get("/busy"),
            await client.get("/bug"),
            await client.post("/forever", headers={"X-Request-Timeout-Ms": "50"}),
        ]
    async with speaking(shape, has_started=False, internal_token="s3cret") as client:
        known = {"X-Internal-Token": "s3cret"}
        met.append(await client.post("/shout", json={"texts": []}))
        met.append(await client.post("/shout", json={"texts": []}, headers=known))
    return met


@pytest.mark.parametrize("name", SHAPES)
async def test_every_error_comes_in_the_dialects_shape(name: str):
    met = await refusals(SHAPES[name])
    assert [one.status_code for one in met] == [400, 404, 405, 413, 422, 429, 500, 504, 401, 503]
    for one in met:
        assert one.headers["content-type"] == "application/json"
        expected = EXPECTED[name].get(one.status_code, {})
        body = one.json()
        if name == "openai":
            assert list(body) == ["error"]
            body = body["error"]
            assert body == {"message": body["message"], **expected}
            assert body["message"]
        else:
            assert body == {"error": body["error"], **expected}
            assert isinstance(body["error"], str)
            assert body["error"]


@pytest.mark.parametrize("name", SHAPES)
async def test_overload_says_in_every_dialect_when_to_come_back(name: str):
    async with speaking(SHAPES[name], has_started=True) as client:
        answer = await client.get("/busy")
    advice = answer.headers["retry-after"], answer.headers["retry-after-ms"]
    assert (answer.status_code, *advice) == (429, "2", "1250")


async def test_the_longest_prefix_decides_by_whole_segments():
    shapes = {"/v2": dialects.oip, "/v2/ours": dialects.problem, "/hf/": dialects.huggingface}
    async with serve(tiny.create_app(error_shapes=shapes)) as client:
        spoken = {
            path: "error" in (await client.get(path)).json()
            for path in ("/v2", "/v2/models/x", "/v2/ours/x", "/v22", "/hf", "/hf/x", "/")
        }
    assert spoken == {
        "/v2": True,
        "/v2/models/x": True,
        "/v2/ours/x": False,
        "/v22": False,
        "/hf": True,
        "/hf/x": True,
        "/": False,
    }


def test_an_errors_own_code_goes_before_the_usual_one():
    unknown = problem_of({"type": "http"}, NotFound("No such model.", code="model_not_found"))
    empty = problem_of({"type": "http"}, NotFound("No input.", code="Empty"))
    assert dialects.openai(unknown)["error"]["code"] == "model_not_found"
    assert dialects.tei(empty)["error_type"] == "Empty"
    assert dialects.tei(unknown)["error_type"] == "Validation"  # not one of its types
