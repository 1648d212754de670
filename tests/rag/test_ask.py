"""Answers come from the documents, with the place they come from; conversations are remembered."""

import json
from typing import Any

import httpx2
import pytest

from tests.rag.support import ANSWERS, fill, rag

TEXT = (
    "# Refunds\n\nWe refund every order. Refunds take five working days, says Dr. Smith. "
    "Shipping is not refunded.\n\nQuestions? Call us."
)
HANDBOOK = {"id": "handbook", "title": "Handbook", "text": TEXT}


async def ask(client: httpx2.AsyncClient, question: str, **body: Any) -> dict[str, Any]:
    answer = await client.post("/v1/collections/docs/ask", json={"question": question, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_an_answer_is_the_sentence_with_the_span_and_its_place(client):
    await fill(client, HANDBOOK)
    found = await ask(client, "How long do refunds take?")
    (citation,) = found["citations"]
    assert found["answered"]
    assert found["answer"] == "Refunds take five working days, says Dr. Smith."
    assert TEXT[citation["start"] : citation["end"]] == citation["text"] == found["answer"]
    assert (citation["document_id"], citation["title"]) == ("handbook", "Handbook")
    assert citation["chunk_id"] == "handbook#0"


async def test_without_support_there_is_no_answer_but_the_closest_passages(client):
    await fill(client, HANDBOOK)
    found = await ask(client, "Who founded the company?")
    assert (found["answered"], found["answer"]) == (False, None)
    assert all(TEXT[one["start"] : one["end"]] == one["text"] for one in found["citations"])
    assert found["citations"]


async def test_a_span_below_the_threshold_is_no_answer(database_url, tenant):
    async with rag(database_url, tenant, answers=ANSWERS, answer_threshold=0.999) as client:
        await fill(client, HANDBOOK)
        assert not (await ask(client, "How long do refunds take?"))["answered"]


async def test_an_empty_collection_answers_nothing(empty):
    found = await ask(empty, "Anything?")
    assert (found["answered"], found["citations"]) == (False, [])


async def test_a_follow_up_is_read_together_with_the_question_before(database_url, tenant):
    asked: list[dict[str, Any]] = []
    async with rag(database_url, tenant, answers=ANSWERS, asked=asked) as client:
        await fill(client, HANDBOOK)
        first = await ask(client, "Do you refund an order?")
        asked.clear()
        second = await ask(
            client, "How long does it take?", conversation_id=first["conversation_id"]
        )
    assert second["answered"]
    assert second["conversation_id"] == first["conversation_id"]
    assert asked[0]["question"] == "Do you refund an order? How long does it take?"


async def test_a_conversation_can_be_read_and_deleted(client):
    await fill(client, HANDBOOK)
    first = await ask(client, "How long do refunds take?")
    await ask(client, "Why?", conversation_id=first["conversation_id"])
    place = f"/v1/conversations/{first['conversation_id']}"
    read = (await client.get(place)).json()
    deleted = await client.delete(place)
    gone = [await client.get(place), await client.delete(place)]
    late = await client.post(
        "/v1/collections/docs/ask",
        json={"question": "And now?", "conversation_id": first["conversation_id"]},
    )
    assert [turn["question"] for turn in read["turns"]] == ["How long do refunds take?", "Why?"]
    assert read["turns"][0]["answer"] == first["answer"]
    assert read["turns"][0]["citations"] == first["citations"]
    assert deleted.status_code == 204
    assert {answer.status_code for answer in (*gone, late)} == {404}


async def test_a_conversation_nobody_goes_on_with_is_gone(database_url, tenant):
    async with rag(database_url, tenant, answers=ANSWERS) as client:
        await fill(client, HANDBOOK)
        old = (await ask(client, "How long do refunds take?"))["conversation_id"]
        lasting = (await client.get(f"/v1/conversations/{old}")).json()
    async with rag(database_url, tenant, answers=ANSWERS, conversation_days=1e-9) as client:
        path = f"/v1/conversations/{old}"
        gone = [await client.get(path), await client.delete(path)]
        listed = (await client.get("/v1/conversations")).json()
        late = await client.post(
            "/v1/collections/docs/ask", json={"question": "And?", "conversation_id": old}
        )
        await ask(client, "How long do refunds take?")  # a new one sweeps the expired
    async with rag(database_url, tenant, answers=ANSWERS) as client:
        swept = await client.get(path)
    assert lasting["expires_at"] > lasting["created_at"]
    assert {answer.status_code for answer in (*gone, late, swept)} == {404}
    assert listed == {"conversations": []}


async def test_a_tenants_conversations_are_listed_the_last_used_first(client, tenant):
    await fill(client, HANDBOOK)
    first = (await ask(client, "How long do refunds take?"))["conversation_id"]
    second = (await ask(client, "How long do refunds take?"))["conversation_id"]
    await ask(client, "Why?", conversation_id=first)
    listed = (await client.get("/v1/conversations")).json()["conversations"]
    client.headers["X-Tenant"] = f"{tenant}-other"
    other = (await client.get("/v1/conversations")).json()["conversations"]
    assert [(one["id"], one["turns"]) for one in listed] == [(first, 2), (second, 1)]
    assert other == []


async def test_the_words_that_answer_stand_within_the_sentence(client):
    await fill(client, HANDBOOK)
    words = (await ask(client, "How long do refunds take?"))["words"]
    assert words["text"] == "five working days" == TEXT[words["start"] : words["end"]]


async def test_a_stream_sends_the_passages_and_then_the_answer(client):
    await fill(client, HANDBOOK)
    answer = await client.post(
        "/v1/collections/docs/ask",
        json={"question": "How long do refunds take?", "stream": True},
    )
    events = [
        (lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: ")))
        for lines in (block.split("\n") for block in answer.text.strip().split("\n\n"))
    ]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [name for name, _ in events] == ["passages", "answer"]
    assert events[0][1]["results"][0]["document_id"] == "handbook"
    assert events[1][1]["answered"]


async def test_a_silent_qa_service_is_named(database_url, tenant):
    async with rag(database_url, tenant, qa="http://elsewhere") as client:
        await fill(client, HANDBOOK)
        plain = await client.post("/v1/collections/docs/ask", json={"question": "How?"})
        stream = await client.post(
            "/v1/collections/docs/ask", json={"question": "How?", "stream": True}
        )
    assert plain.status_code == 502
    assert "qa" in plain.json()["detail"]
    assert '"status":502' in stream.text


BAD_QUESTIONS = [
    {},
    {"question": " "},
    {"question": "a\0"},
    {"question": "a", "conversation_id": 3},
    {"question": "a", "conversation_id": "\0"},
    {"question": "a", "stream": "perhaps"},
]


@pytest.mark.parametrize("body", BAD_QUESTIONS)
async def test_a_bad_question_is_refused(empty, body):
    answer = await empty.post("/v1/collections/docs/ask", json=body)
    assert answer.status_code == 422
