"""What callers of question answering see; only the network is fake: it finds numbers."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from services.qa.app import create_app
from services.qa.model import Reader
from services.qa.settings import Settings
from tests.support import serve
from tests.text_models import FakeText, reads

FILLER = "Nothing of interest happened that day. "


@asynccontextmanager
async def service(fake: FakeText | None = None) -> AsyncGenerator[httpx2.AsyncClient]:
    reader = Reader(fake or FakeText(reads, name="reads"), overlap=32)
    async with serve(create_app(Settings(), reader)) as client:
        yield client


async def ask(client: httpx2.AsyncClient, context: str, **body: Any) -> dict[str, Any]:
    asked = {"question": "When was it?", "context": context, **body}
    answer = await client.post("/v1/answer", json=asked)
    assert answer.status_code == 200, answer.text
    answers: dict[str, Any] = answer.json()
    for found in answers["answers"]:
        assert context[found["start"] : found["end"]] == found["text"]
    return answers


async def test_the_answer_is_a_passage_of_the_context():
    async with service() as client:
        answers = await ask(client, "The bridge was opened in 1894 by the queen.")
    assert answers["model"] == "reads"
    assert answers["answerable"] is True
    assert [found["text"] for found in answers["answers"]] == ["1894"]
    assert answers["answers"][0]["start"] == 25


async def test_offsets_count_characters_also_behind_emoji_accents_and_cyrillic():
    context = "👩‍👩‍👧 Émilie, cafe\u0301: мост открыли в 1894 году."
    async with service() as client:
        answers = await ask(client, context)
    assert answers["answers"][0]["text"] == "1894"


async def test_a_word_is_never_cut():
    async with service() as client:
        answers = await ask(client, "It began in 1894th, they say.")
    assert answers["answers"][0]["text"] == "1894th"


async def test_a_long_context_is_read_to_its_end():
    context = FILLER * 200 + "It opened in 1894. " + FILLER * 100
    async with service() as client:
        answers = await ask(client, context)
    assert answers["answers"][0]["text"] == "1894"
    assert answers["windows"] > 20


async def test_several_answers_do_not_overlap_and_come_best_first():
    context = FILLER * 30 + "First 1894, then 1901. " + FILLER * 30 + "At last 1945."
    async with service() as client:
        answers = await ask(client, context, top_k=3)
    found = answers["answers"]
    assert {answer["text"] for answer in found} == {"1894", "1901", "1945"}
    assert sorted(found, key=lambda answer: -answer["score"]) == found


async def test_no_answer_is_an_answer():
    async with service() as client:
        answers = await ask(client, FILLER)
    assert answers["answerable"] is False
    assert answers["answers"] == []
    assert answers["no_answer_score"] > 0.9


async def test_a_best_guess_is_given_when_no_answer_is_not_allowed():
    async with service() as client:
        answers = await ask(client, FILLER, allow_no_answer=False)
    assert answers["answerable"] is True
    assert len(answers["answers"]) == 1


async def test_a_context_without_any_token_has_no_answer():
    async with service() as client:
        answers = await ask(client, "\u200b", allow_no_answer=False)
    assert answers["answerable"] is False


async def test_scores_are_shares_of_one_probability():
    async with service() as client:
        answers = await ask(client, "In 1894 or 1901.", top_k=10)
    shares = [found["score"] for found in answers["answers"]]
    assert sum(shares) + answers["no_answer_score"] <= 1 + 1e-6
    assert min(shares) >= 0


async def test_a_question_that_leaves_no_room_is_refused_with_its_length():
    async with service() as client:
        answer = await client.post(
            "/v1/answer", json={"question": "why " * 200, "context": "Because."}
        )
    assert answer.status_code == 422
    assert "200 tokens" in answer.json()["detail"]


Q, C = {"question": "Who?"}, {"context": "Ada did."}
BAD: dict[str, tuple[Any, int]] = {
    "no question": (C, 422),
    "no context": (Q, 422),
    "a blank question": (C | {"question": " "}, 422),
    "a blank context": (Q | {"context": "\n"}, 422),
    "a question that is a list": (C | {"question": ["Who?"]}, 422),
    "a question too long": (C | {"question": "x" * 1001}, 422),
    "a context too long": (Q | {"context": "x" * 200_001}, 422),
    "top_k zero": (Q | C | {"top_k": 0}, 422),
    "top_k above the limit": (Q | C | {"top_k": 11}, 422),
    "top_k true": (Q | C | {"top_k": True}, 422),
    "allow_no_answer as text": (Q | C | {"allow_no_answer": "no"}, 422),
    "a misspelt option": (Q | C | {"topk": 1}, 422),
    "a lone surrogate": (rb'{"question": "Who?", "context": "\ud800"}', 422),
    "broken JSON": (b'{"question": ', 400),
    "a body over the limit": (Q | {"context": "x" * (2**21 + 1)}, 413),
}


@pytest.mark.parametrize(("body", "status"), BAD.values(), ids=BAD)
async def test_bad_input_is_refused(body: Any, status: int):
    sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
    async with service() as client:
        answer = await client.post(
            "/v1/answer", **sent, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


async def test_info_names_the_model():
    async with service() as client:
        info = (await client.get("/info")).json()
    assert info["models"] == [{"model": "reads", "revision": "1", "backend": "fake"}]


async def test_a_broken_model_makes_the_service_unready():
    fake = FakeText(reads, name="reads")
    async with service(fake) as client:
        fake.rule = lambda _: {}
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["failures"] == {"reads": "The model fails: KeyError."}
