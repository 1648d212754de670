"""The whole path over real processes, started as `make run` starts them."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.running import RunningStack

pytestmark = pytest.mark.stack


@pytest.fixture
def gateway(running_stack: RunningStack) -> httpx2.Client:
    return running_stack.gateway


def assist(gateway: httpx2.Client, text: str, **more: Any) -> dict[str, Any]:
    response = gateway.post(
        "/v1/assist", json={"text": text, **more}, headers={"Prefer": "wait=60"}
    )
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


@pytest.mark.parametrize(
    "wish", ["draw a red circle", "dibuja un círculo rojo", "нарисуй красный круг"]
)
def test_a_wish_in_words_becomes_a_picture(gateway: httpx2.Client, wish: str):
    answer = assist(gateway, wish)
    assert (answer["intent"], answer["service"]) == ("draw", "imagegen")
    (picture,) = answer["output"]["pictures"]
    png = gateway.get(picture["url"])
    assert png.headers["content-type"] == "image/png"
    assert png.content.startswith(b"\x89PNG")


def test_an_emotion_is_named(gateway: httpx2.Client):
    answer = assist(gateway, 'What emotion is in "Thank you so much for your help!"?')
    assert answer["service"] == "classifier"
    assert answer["output"]["results"][0]["labels"] == ["gratitude"]


def test_a_question_is_answered_with_words_of_the_context(gateway: httpx2.Client):
    context = "The tower was finished in 1889. It was designed by Gustave Eiffel's company."
    answer = assist(gateway, "When was the tower finished?", context=context)
    best = answer["output"]["answers"][0]
    assert best["text"] == "1889"
    assert context[best["start"] : best["end"]] == best["text"]


def test_the_knowledge_base_answers_with_its_source(gateway: httpx2.Client):
    text = "# Opening hours\n\nThe library is open from nine to six. The cafe closes at five."
    gateway.put("/v1/collections/house", json={}).raise_for_status()
    documents = {"documents": [{"id": "hours", "title": "Opening hours", "text": text}]}
    gateway.post("/v1/collections/house/documents", json=documents).raise_for_status()
    wait_until(lambda: document_status(gateway) == "ready")
    answer = assist(gateway, "When does the cafe close?", collection="house")
    (first, *_) = answer["output"]["citations"]
    assert first["document_id"] == "hours"
    assert text[first["start"] : first["end"]] == first["text"]


def document_status(gateway: httpx2.Client) -> str:
    response = gateway.get("/v1/collections/house/documents/hours")
    return str(response.json()["status"])


def test_a_request_id_survives_every_hop(gateway: httpx2.Client):
    response = gateway.post(
        "/v1/classify", json={"texts": ["hello"]}, headers={"X-Request-ID": "trace-me"}
    )
    assert response.headers["x-request-id"] == "trace-me"


def test_a_crashed_service_comes_back_and_the_others_go_on(running_stack: RunningStack):
    victim = running_stack.pid_of("services.qa.app")
    os.kill(victim, signal.SIGKILL)
    gateway = running_stack.gateway
    assert gateway.post("/v1/classify", json={"texts": ["hello"]}).status_code == 200
    wait_until(lambda: running_stack.pid_of("services.qa.app") not in (0, victim))
    question = {"question": "Who came?", "context": "Mary came."}
    wait_until(lambda: gateway.post("/v1/answer", json=question).status_code == 200)


def test_each_service_has_a_log_of_its_own(running_stack: RunningStack):
    names = {file.stem for file in Path(running_stack.run_dir, "logs").iterdir()}
    assert names == {
        "redis",
        "gateway",
        "classifier",
        "qa",
        "imagegen",
        "worker",
        "rag",
        "console",
    }


def wait_until(look: Any, seconds: float = 60.0) -> None:
    give_up = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.1)
