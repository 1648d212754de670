"""The embedded model does what the service says, on texts that leave no doubt."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from services.qa.app import create_app
from services.qa.settings import Settings
from tests.support import serve

pytestmark = pytest.mark.weights

BRIDGE = "The old stone bridge in the centre of the town was opened in 1894. It is 120 metres long."
FILLER = "The council met on Tuesday and talked about parking, trees and the new library. "
PLAIN = [
    (
        "Who wrote it?",
        "The first program appeared in 1843. It was written by Ada Lovelace, who added notes.",
        "Ada Lovelace",
    ),
    ("When was the bridge opened?", BRIDGE, "1894"),
    (
        "¿Quién construyó el puente?",
        "El puente fue construido por Gustave Eiffel en 1894. Mide 120 metros.",
        "Gustave Eiffel",
    ),
]


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with serve(create_app(Settings())) as client:
        yield client


async def ask(client: httpx2.AsyncClient, question: str, context: str) -> dict[str, Any]:
    answer = await client.post("/v1/answer", json={"question": question, "context": context})
    answers: dict[str, Any] = answer.json()
    return answers


async def test_plain_questions_get_their_passage(client: httpx2.AsyncClient):
    for question, context, passage in PLAIN:
        answers = await ask(client, question, context)
        assert [found["text"] for found in answers["answers"]] == [passage]


async def test_a_question_about_something_else_has_no_answer(client: httpx2.AsyncClient):
    answers = await ask(client, "What is the capital of Peru?", BRIDGE)
    assert answers["answerable"] is False


async def test_the_answer_is_found_in_the_middle_of_a_long_text(client: httpx2.AsyncClient):
    answers = await ask(client, "How long is the bridge?", FILLER * 100 + BRIDGE + FILLER * 100)
    assert answers["windows"] > 10
    assert answers["answers"][0]["text"] == "120 metres"


async def test_a_russian_answer_is_whole_words_of_the_original(client: httpx2.AsyncClient):
    context = "Мост построил инженер Николай Белелюбский в 1894 году. Его длина 120 метров."
    answers = await ask(client, "В каком году построен мост?", context)
    (found,) = answers["answers"]
    assert context[found["start"] : found["end"]] == found["text"]
    assert "1894" in found["text"]
