"""What callers of the gateway's own endpoints see, good input and bad."""

import hashlib
from typing import Any

import pytest
from pydantic import ValidationError

from services.gateway.settings import Settings
from tests.gateway.support import FixedRouter, Scripted, gateway, served

KEY = "open sesame"
KEYS = f"{hashlib.sha256(KEY.encode()).hexdigest()} acme"


async def test_route_says_what_would_be_done_and_runs_nothing():
    imagegen = Scripted({})
    router = FixedRouter("draw", {"subject": "a red circle"})
    async with served(router, {"imagegen": imagegen.app}) as client:
        answer = await client.post("/v1/route", json={"text": "draw a red circle"})
    assert answer.status_code == 200
    assert answer.json() == {
        "intent": "draw",
        "confidence": 0.9,
        "alternatives": [
            {"intent": "draw", "confidence": 0.05},
            {"intent": "ask", "confidence": 0.05},
        ],
        "language": "en",
        "slots": {"subject": "a red circle"},
        "spans": {},
        "service": "imagegen",
        "explanation": {"margin": 0.8, "threshold": 0.5, "evidence": [], "nearest": []},
    }
    assert imagegen.calls == []


async def test_the_router_sees_the_text_and_the_shape_of_the_request():
    router = FixedRouter()
    async with served(router) as client:
        body = {"text": " hi ", "context": "a passage", "images": [{"data": "aGk="}]}
        await client.post("/v1/route", json=body)
    seen = router.asked[-1]
    assert (seen.text, seen.has_context, seen.images) == ("hi", True, 1)


@pytest.mark.parametrize("path", ["/v1/route", "/v1/assist"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": " \n "}, "text"),
        ({"text": "a" * 20_001}, "text"),
        ({"text": 7}, "text"),
        ({"text": None}, "text"),
        ({"text": "hi", "txet": "hi"}, "txet"),
        ({"text": "hi", "context": ""}, "context"),
        ({"text": "hi", "images": "one"}, "images"),
        ({"text": "hi", "images": [{}]}, "images.0"),
        ({"text": "hi", "images": [{"data": "a", "picture": "b"}]}, "images.0"),
        ({"text": "hi", "images": [{"data": "a"}] * 9}, "images"),
        ({"text": "hi", "also": ["fly"]}, "also.0"),
        ({"text": "hi", "also": "classify"}, "also"),
        ({"text": "hi", "options": {"intent": "fly"}}, "options.intent"),
        ({"text": "hi", "collection": "../etc"}, "collection"),
        ({"text": "hi", "conversation_id": ""}, "conversation_id"),
        ([], "body"),
    ],
)
async def test_a_wrong_body_is_refused_with_the_field_at_fault(path: str, body: Any, field: str):
    async with served() as client:
        answer = await client.post(path, json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in [line["field"] for line in answer.json()["errors"]]


@pytest.mark.parametrize("body", [b"{", b"", b'{"text": "\xff"}', b"\x00"])
async def test_a_body_that_is_not_json_is_a_clear_4xx(body: bytes):
    async with served() as client:
        answer = await client.post(
            "/v1/assist", content=body, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


async def test_half_of_a_surrogate_pair_is_not_a_bug():
    async with served() as client:
        answer = await client.post(
            "/v1/assist",
            content=rb'{"text": "\ud800"}',
            headers={"Content-Type": "application/json"},
        )
    assert answer.status_code < 500


@pytest.mark.parametrize(
    "value",
    [b"NaN", b"[-Infinity]", b"1e999", rb'{"a": "\ud800"}', b"[" * 945 + b"]" * 945, b"[" * 955],
)
async def test_an_option_that_cannot_be_passed_on_is_refused(value: bytes):
    body = b'{"text": "hi", "options": {"seed": ' + value + b"}}"
    async with served(FixedRouter("classify", {"text": "hi"})) as client:
        answer = await client.post(
            "/v1/assist", content=body, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_unknown_path_is_a_problem():
    async with served() as client:
        answer = await client.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_path_that_only_begins_like_a_service_is_unknown():
    async with served() as client:
        assert (await client.get("/v1/imagesque")).status_code == 404


async def test_services_tells_who_is_ready_and_why_not():
    services = {
        "classifier": Scripted({}).app,
        "qa": Scripted({}, is_ready=False).app,
        "rag": Scripted({}).app,
    }
    async with served(services=services) as client:
        states = (await client.get("/v1/services")).json()["services"]
    assert {state["name"]: state["ready"] for state in states} == {
        "classifier": True,
        "qa": False,
        "imagegen": False,
        "rag": True,
    }
    reasons = {state["name"]: state["reason"] for state in states}
    assert reasons["qa"] == "model: still loading"
    assert reasons["imagegen"] == "The service imagegen cannot be reached."


async def test_the_gateway_is_ready_although_no_service_is():
    async with served() as client:
        assert (await client.get("/readyz")).status_code == 200


async def test_without_keys_everyone_is_the_default_tenant_whatever_they_say():
    rag = Scripted({"GET /v1/collections/notes": {"name": "notes"}})
    async with served(services={"rag": rag.app}) as client:
        await client.get("/v1/collections/notes", headers={"X-Tenant": "somebody-else"})
    assert rag.headers[-1]["x-tenant"] == "default"


async def test_the_key_decides_the_tenant_and_stays_at_the_gateway():
    rag = Scripted({"GET /v1/collections/notes": {"name": "notes"}})
    async with served(services={"rag": rag.app}, keys=KEYS) as client:
        answer = await client.get(
            "/v1/collections/notes",
            headers={"Authorization": f"Bearer {KEY}", "X-Tenant": "somebody-else"},
        )
    assert answer.status_code == 200
    assert rag.headers[-1]["x-tenant"] == "acme"
    assert "authorization" not in rag.headers[-1]


@pytest.mark.parametrize("path", ["/v1/route", "/v1/assist", "/v1/classify"])
@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}])
async def test_without_a_known_key_nothing_is_served(path: str, header: dict[str, str]):
    async with served(keys=KEYS) as client:
        answer = await client.post(path, json={"text": "hi"}, headers=header)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_probes_and_the_documentation_need_no_key():
    async with served(keys=KEYS) as client:
        for path in ("/livez", "/readyz", "/metrics", "/info", "/openapi.json", "/docs"):
            assert (await client.get(path)).status_code == 200, path


async def test_the_internal_token_is_asked_of_no_person_and_given_to_every_service():
    qa = Scripted({"POST /v1/answer": {"answers": []}})
    async with served(services={"qa": qa.app}, internal_token="secret") as client:
        answer = await client.post(
            "/v1/answer", json={}, headers={"X-Internal-Token": "a guess from outside"}
        )
    assert answer.status_code == 200
    assert qa.headers[-1]["x-internal-token"] == "secret"


def test_keys_come_from_a_file_as_well(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"# ours\n{KEYS}\n\n", encoding="utf-8")
    keys = gateway(keys_file=path).state.keys
    assert keys.find(KEY).tenant == "acme"


def test_a_broken_key_stops_the_start_with_one_message(capsys):
    with pytest.raises(SystemExit):
        gateway(keys="1234 acme")
    assert "GATEWAY_KEYS" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway.internal"])
def test_listening_beyond_this_machine_needs_keys(host: str):
    with pytest.raises(ValidationError, match="GATEWAY_ALLOW_ANONYMOUS"):
        Settings(host=host)
    assert Settings(host=host, keys=KEYS).host == host
    assert Settings(host=host, allow_anonymous=True).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_listening_on_this_machine_needs_none(host: str):
    assert Settings(host=host).host == host


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("GATEWAY_LLM_URL", "")
    monkeypatch.setenv("GATEWAY_KEYS_FILE", "")
    settings = Settings()
    assert (settings.llm_url, settings.keys_file) == (None, None)
