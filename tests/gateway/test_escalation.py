"""When a person takes over: who is told, how it is signed, and that no answer waits for it."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError

from services.gateway.settings import Settings
from tests.gateway.support import FixedRouter, Scripted, listening, served
from tests.support import until

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
ASKS = FixedRouter("ask", {"question": "where is my order?"})
SAID = {"text": "where is my order?"}


class Receiver:
    """A help desk that fails as often as the test says, then takes what it is told."""

    def __init__(self, failures: int = 0, pause_seconds: float = 0.0) -> None:
        self.attempts: list[tuple[dict[str, str], bytes]] = []
        self.taken: list[dict[str, Any]] = []
        self._failures = failures
        self._pause_seconds = pause_seconds
        self.app = FastAPI(openapi_url=None)
        self.app.add_api_route("/hook", self._hook, methods=["POST"])

    async def _hook(self, request: Request) -> Response:
        body = await request.body()
        self.attempts.append((dict(request.headers), body))
        await asyncio.sleep(self._pause_seconds)
        if len(self.attempts) <= self._failures:
            return Response(status_code=503)
        self.taken.append(json.loads(body))
        return Response(status_code=204)

    async def has_taken(self) -> dict[str, Any] | None:
        return self.taken[0] if self.taken else None


def emotion(**scores: float) -> Scripted:
    listed = [{"label": label, "score": score} for label, score in scores.items()]
    return Scripted({"POST /v1/classify": {"model": "m", "results": [{"scores": listed}]}})


def knowledge(*, answered: bool) -> Scripted:
    body: dict[str, object] = {
        "answer": "Soon." if answered else None,
        "answered": answered,
        "citations": [],
    }
    return Scripted({"POST /v1/collections/default/ask": body})


@asynccontextmanager
async def help_desk(receiver: Receiver, classifier: Scripted, rag: Scripted) -> AsyncGenerator[Any]:
    async with listening(receiver.app) as address:
        settings = {"escalation_url": f"{address}/hook", "escalation_secret": SECRET}
        apps = {"classifier": classifier.app, "rag": rag.app}
        async with served(ASKS, apps, **settings) as client:
            yield client


async def test_an_unanswered_question_calls_a_person_who_is_told_again_until_it_arrives():
    receiver = Receiver(failures=2)
    async with help_desk(receiver, emotion(joy=0.9), knowledge(answered=False)) as client:
        answer = (await client.post("/v1/assist", json=SAID)).json()
        told = await until(receiver.has_taken, 15)
    assert answer["escalate"] is True
    assert answer["escalation"]["reasons"] == ["no_answer"]
    assert answer["escalation"]["notified"] is True
    assert told["type"] == "conversation.escalated"
    assert told["data"]["text"] == SAID["text"]
    assert told["data"]["id"] == answer["escalation"]["id"]
    assert len(receiver.attempts) == 3
    assert {headers["webhook-id"] for headers, _ in receiver.attempts} == {told["data"]["id"]}


async def test_every_attempt_is_signed_with_its_own_time():
    receiver = Receiver(failures=1)
    async with help_desk(receiver, emotion(joy=0.9), knowledge(answered=False)) as client:
        await client.post("/v1/assist", json=SAID)
        await until(receiver.has_taken, 15)
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    for headers, body in receiver.attempts:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{digest}"
        assert abs(time.time() - int(headers["webhook-timestamp"])) < 60


async def test_clear_anger_calls_a_person_though_the_question_is_answered():
    receiver = Receiver()
    async with help_desk(receiver, emotion(anger=0.93), knowledge(answered=True)) as client:
        answer = (await client.post("/v1/assist", json=SAID)).json()
        await until(receiver.has_taken, 15)
    assert answer["output"]["answer"] == "Soon."
    assert answer["escalation"]["reasons"] == ["anger"]
    assert answer["escalation"]["anger"] == 0.93


async def test_a_calm_person_with_an_answer_keeps_to_the_machine():
    receiver = Receiver()
    async with help_desk(receiver, emotion(anger=0.1), knowledge(answered=True)) as client:
        answer = (await client.post("/v1/assist", json=SAID)).json()
    assert answer["escalate"] is False
    assert answer["escalation"] is None
    assert receiver.attempts == []


async def test_an_answer_never_waits_for_the_help_desk():
    receiver = Receiver(pause_seconds=1.5)
    async with help_desk(receiver, emotion(joy=0.9), knowledge(answered=False)) as client:
        started = time.monotonic()
        await client.post("/v1/assist", json=SAID)
        took = time.monotonic() - started
        await until(receiver.has_taken, 15)
    assert took < 1.4


async def test_the_emotion_of_the_persons_own_words_is_looked_at_beside_the_answer():
    classifier = emotion(anger=0.9)
    async with help_desk(Receiver(), classifier, knowledge(answered=True)) as client:
        answer = (await client.post("/v1/assist", json=SAID)).json()
    assert classifier.calls[-1][2] == {"texts": [SAID["text"]]}
    assert answer["branches"]["classify"]["status"] == 200


async def test_a_broken_emotion_service_fails_no_answer():
    receiver = Receiver()
    async with help_desk(receiver, Scripted({}), knowledge(answered=True)) as client:
        answer = await client.post("/v1/assist", json=SAID)
    assert answer.status_code == 200
    assert answer.json()["escalate"] is False


async def test_without_a_webhook_the_answer_says_so_itself():
    rag = knowledge(answered=False)
    async with served(ASKS, {"rag": rag.app}) as client:
        answer = (await client.post("/v1/assist", json=SAID)).json()
    assert answer["escalate"] is True
    assert answer["escalation"]["notified"] is False
    assert answer["branches"] == {}


async def test_anger_in_a_text_of_someone_else_calls_nobody():
    classifier = emotion(anger=0.99)
    router = FixedRouter("classify", {"text": "I hate you"})
    async with served(router, {"classifier": classifier.app}) as client:
        answer = (await client.post("/v1/assist", json={"text": "emotion: I hate you"})).json()
    assert answer["escalate"] is False


def test_a_webhook_without_a_secret_stops_the_start():
    with pytest.raises(ValidationError, match="unsigned"):
        Settings(escalation_url="http://127.0.0.1:1/hook")
