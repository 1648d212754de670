"""Tenants' own intents: taught while the gateway runs, kept, and told apart from the seven."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kit.errors import NotFound, NotReady
from services.gateway.few_shot import learn
from services.gateway.intents_schemas import OwnIntent
from services.gateway.intents_store import RedisStore
from services.gateway.own_intents import OwnIntents, read_file
from services.gateway.router import Router
from tests.gateway.support import Scripted, served

WEIGHTS = Path(__file__).parents[2] / "models" / "router"
CANCEL: dict[str, Any] = {
    "name": "cancel_order",
    "phrases": [
        "cancel my order",
        "I don't want the parcel any more",
        "please stop order 4711",
        "I'd like to cancel what I bought yesterday",
        "cancelar mi pedido",
        "отмените мой заказ",
    ],
    "service": "rag",
    "path": "/v1/collections/orders/ask",
    "body": {"question": "How do I cancel? {text}", "filter": {"language": "{language}"}},
}
BLURT: dict[str, Any] = {
    "name": "blurt",
    "phrases": ["blurt it out", "say blurt", "blurt blurt now"],
    "service": "classifier",
    "path": "/v1/classify",
}
KEYS = ",".join(
    f"{hashlib.sha256(key.encode()).hexdigest()} {tenant}"
    for key, tenant in (("secret-a", "acme"), ("secret-b", "birch"))
)
ACME = {"Authorization": "Bearer secret-a"}
BIRCH = {"Authorization": "Bearer secret-b"}


@pytest.fixture(scope="module")
def router() -> Router:
    return Router.load(WEIGHTS)


@pytest.fixture
def rag() -> Scripted:
    return Scripted(
        {"POST /v1/collections/orders/ask": {"answer": "Press stop.", "answered": True}}
    )


def taught(*intents: Any) -> dict[str, Any]:
    return {"intents": list(intents)}


async def test_a_taught_intent_counts_from_the_next_message_on(router, rag, tmp_path):
    async with served(router, {"rag": rag.app}, data=tmp_path) as client:
        said = {"text": "can you cancel the order I placed?"}
        before = (await client.post("/v1/route", json=said)).json()
        assert (await client.put("/v1/intents", json=taught(CANCEL))).status_code == 200
        after = (await client.post("/v1/route", json=said)).json()
        answer = (await client.post("/v1/assist", json=said)).json()
    assert before["intent"] != "cancel_order"
    assert (after["intent"], after["service"]) == ("cancel_order", "rag")
    assert after["confidence"] >= 0.5
    assert after["explanation"]["nearest"][0]["intent"] == "cancel_order"
    assert answer["output"]["answer"] == "Press stop."
    assert rag.calls[-1][2] == {
        "question": f"How do I cancel? {said['text']}",
        "filter": {"language": "en"},
    }


async def test_the_seven_intents_go_on_beside_ones_own(router, rag, tmp_path):
    async with served(router, {"rag": rag.app}, data=tmp_path) as client:
        await client.put("/v1/intents", json=taught(CANCEL, BLURT))
        found = [
            (await client.post("/v1/route", json={"text": text})).json()["intent"]
            for text in ("draw a red circle", "hello, how are you?", "смешай эти две фотографии")
        ]
    assert found == ["draw", "chat", "blend"]


async def test_a_request_may_name_ones_own_intent(router, rag, tmp_path):
    async with served(router, {"rag": rag.app}, data=tmp_path) as client:
        await client.put("/v1/intents", json=taught(CANCEL))
        wish = {"text": "whatever", "options": {"intent": "cancel_order"}}
        named = (await client.post("/v1/assist", json=wish)).json()
        unknown = await client.post(
            "/v1/route", json={"text": "whatever", "options": {"intent": "nobody_has_it"}}
        )
    assert (named["intent"], named["confidence"]) == ("cancel_order", 1.0)
    assert unknown.status_code == 422
    assert unknown.json()["errors"][0]["field"] == "options.intent"


async def test_intents_outlive_the_gateway(router, rag, tmp_path):
    async with served(router, {"rag": rag.app}, data=tmp_path) as client:
        await client.put("/v1/intents", json=taught(CANCEL))
    async with served(router, {"rag": rag.app}, data=tmp_path) as client:
        listed = (await client.get("/v1/intents")).json()["intents"]
        found = (await client.post("/v1/route", json={"text": "cancel my order now"})).json()
    assert [intent["name"] for intent in listed] == ["cancel_order"]
    assert found["intent"] == "cancel_order"


async def test_another_tenants_intent_is_unknown_to_everyone_else(router, rag, tmp_path):
    said = {"text": "please cancel my order"}
    async with served(router, {"rag": rag.app}, data=tmp_path, keys=KEYS) as client:
        await client.put("/v1/intents", json=taught(CANCEL), headers=ACME)
        own = await client.post("/v1/route", json=said, headers=ACME)
        other = await client.post("/v1/route", json=said, headers=BIRCH)
        listed = await client.get("/v1/intents", headers=BIRCH)
        looked = await client.get("/v1/intents/cancel_order", headers=BIRCH)
        deleted = await client.delete("/v1/intents/cancel_order", headers=BIRCH)
        kept = await client.get("/v1/intents/cancel_order", headers=ACME)
    assert own.json()["intent"] == "cancel_order"
    assert other.json()["intent"] != "cancel_order"
    assert listed.json() == {"intents": []}
    assert (looked.status_code, deleted.status_code) == (404, 404)
    assert kept.json()["phrases"] == CANCEL["phrases"]


async def test_a_forgotten_intent_no_longer_counts(router, rag, tmp_path):
    async with served(router, {"rag": rag.app}, data=tmp_path) as client:
        await client.put("/v1/intents", json=taught(CANCEL))
        gone = await client.delete("/v1/intents/cancel_order")
        again = await client.delete("/v1/intents/cancel_order")
        found = (await client.post("/v1/route", json={"text": "cancel my order"})).json()
    assert (gone.status_code, again.status_code) == (204, 404)
    assert found["intent"] != "cancel_order"


async def test_gateways_that_share_redis_share_intents_and_no_tenant_sees_anothers(
    router, redis_url
):
    cancel = OwnIntent.model_validate(CANCEL)
    async with RedisStore.connected(redis_url) as here, RedisStore.connected(redis_url) as there:
        one, two = OwnIntents(here, router), OwnIntents(there, router)
        await one.put("acme-shared", [cancel])
        found = await two.match("acme-shared", "cancel my order")
        other = await two.match("birch-shared", "cancel my order")
        await two.delete("acme-shared", "cancel_order")
        with pytest.raises(NotFound):
            await two.delete("acme-shared", "cancel_order")
    assert found is not None
    assert found[0] == cancel
    assert other is None


async def test_while_redis_is_away_nothing_is_taught_and_nothing_else_fails(router, tmp_path):
    async with RedisStore.connected(f"unix://{tmp_path}/nobody.sock") as away:
        own = OwnIntents(away, router)
        assert await own.match("acme", "cancel my order") is None
        with pytest.raises(NotReady):
            await own.put("acme", [OwnIntent.model_validate(CANCEL)])


@pytest.mark.parametrize(
    "wrong",
    [
        CANCEL | {"name": "draw"},
        CANCEL | {"name": "Cancel Order"},
        CANCEL | {"phrases": ["only", "two"]},
        CANCEL | {"phrases": ["same", "Same", "SAME"]},
        CANCEL | {"service": "mail"},
        CANCEL | {"path": "/v1/images"},
        CANCEL | {"path": "/metrics"},
        CANCEL | {"path": "/v1/collections/../../metrics"},
        CANCEL | {"path": "/v1/collections/%2e%2e/metrics"},
        CANCEL | {"colour": "red"},
    ],
)
async def test_a_definition_that_cannot_work_is_refused_and_changes_nothing(
    router, rag, tmp_path, wrong
):
    async with served(router, {"rag": rag.app}, data=tmp_path) as client:
        refused = await client.put("/v1/intents", json=taught(BLURT, wrong))
        listed = (await client.get("/v1/intents")).json()
    assert refused.status_code == 422
    assert listed == {"intents": []}


async def test_intents_of_the_file_belong_to_everyone_and_stay(router, rag, tmp_path):
    file = tmp_path / "intents.yaml"
    file.write_text(json.dumps(taught(CANCEL)))  # JSON is YAML
    async with served(router, {"rag": rag.app}, data=tmp_path, intents=file) as client:
        found = (await client.post("/v1/route", json={"text": "cancel my order"})).json()
        kept = await client.delete("/v1/intents/cancel_order")
    assert found["intent"] == "cancel_order"
    assert kept.status_code == 409


@pytest.mark.parametrize("text", ["{", "intents: 7", "intents: [{name: x}]", "[]", "intents:\n- 1"])
def test_a_wrong_file_stops_the_start_with_one_message(tmp_path, capsys, text):
    file = tmp_path / "intents.yaml"
    file.write_text(text)
    with pytest.raises(SystemExit):
        read_file(file)
    assert "GATEWAY_INTENTS" in capsys.readouterr().err


def test_a_placeholder_in_the_message_itself_is_not_filled_in():
    intent = OwnIntent.model_validate(CANCEL)
    filled = intent.filled(text="{context} {language}", context="secret", language="en")
    assert isinstance(filled, dict)
    assert filled["question"] == "How do I cancel? {context} {language}"


def test_a_name_of_the_router_is_refused():
    with pytest.raises(ValidationError, match="intent of the router"):
        OwnIntent.model_validate(CANCEL | {"name": "other"})


def test_learning_is_the_same_in_every_process_and_order_of_the_others(router):
    mine = ("cancel_order", CANCEL["phrases"])
    other = ("blurt", BLURT["phrases"])
    message = router.vector("cancel the order please")
    there, back = learn(router, [mine, other]), learn(router, [other, mine])
    first, second = there.match(message), back.match(message)
    assert first is not None
    assert second is not None
    assert first.name == second.name == "cancel_order"
    assert first.confidence == pytest.approx(second.confidence, abs=1e-3)


def test_the_published_figures_of_few_shot_learning_reach_the_floor():
    measured = json.loads((WEIGHTS / "report.json").read_text())["own_intents"]
    for source in ("clinc150", "banking77"):
        by_phrases = {row["phrases"]: row for row in measured[source]}
        assert by_phrases[10]["found"] >= 0.85
        assert by_phrases[10]["taken_by_mistake"] <= 0.02
