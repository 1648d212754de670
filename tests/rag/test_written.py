"""A language model writes answers; what it cites is checked, and what nothing bears out is not shown."""

import json
from typing import Any

import httpx2
import pytest

from tests.rag.language_models import Scripted, scripted
from tests.rag.support import fill, rag

TEXT = (
    "# Refunds\n\nWe refund every order. Refunds take five working days, says Dr. Smith. "
    "Shipping is not refunded."
)
HANDBOOK = {"id": "handbook", "title": "Handbook", "text": TEXT}
QUESTION = "How long do refunds take?"


async def ask(client: httpx2.AsyncClient, question: str = QUESTION, **body: Any) -> dict[str, Any]:
    answer = await client.post("/v1/collections/docs/ask", json={"question": question, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def asked_of(
    database_url: str, tenant: str, words: str, *documents: dict[str, Any], **body: Any
) -> tuple[dict[str, Any], Scripted]:
    with scripted(lambda _: words) as model:
        async with rag(database_url, tenant, llm_url=model.url) as client:
            await fill(client, *(documents or (HANDBOOK,)))
            return await ask(client, **body), model


async def test_each_sentence_comes_with_the_exact_place_that_says_so(database_url, tenant):
    words = "Refunds take five working days [1]. Shipping is not refunded [1]."
    found, model = await asked_of(database_url, tenant, words)
    assert found["answered"]
    assert found["source"] == "written"
    assert found["answer"] == "Refunds take five working days. Shipping is not refunded."
    assert [one["citations"] for one in found["sentences"]] == [[0], [1]]
    assert [one["text"] for one in found["citations"]] == [
        "Refunds take five working days, says Dr. Smith.",
        "Shipping is not refunded.",
    ]
    assert all(TEXT[one["start"] : one["end"]] == one["text"] for one in found["citations"])
    assert TEXT.splitlines()[-1] in json.loads(model.prompts[1].splitlines()[1])["text"]
    assert QUESTION in model.prompts[1]


@pytest.mark.parametrize(
    "words",
    [
        "Refunds take five working days [7].",  # no such source
        "Refunds take five working days.",  # no source at all
        "Refunds take nine working days after 14 weeks [1].",  # a number that no source holds
        "Bananas grow mostly in Ecuador [1].",  # nothing of it is in the source
        "NO ANSWER",
        "",
        "[1] [1] [1]",
    ],
)
async def test_what_no_source_bears_out_is_no_answer(database_url, tenant, words):
    found, _ = await asked_of(database_url, tenant, words)
    assert (found["answered"], found["answer"], found["sentences"]) == (False, None, [])
    assert found["citations"][0]["document_id"] == "handbook"


async def test_only_the_unsupported_sentence_is_dropped(database_url, tenant):
    words = "Refunds take five working days [1, 9]. The boss is called Ann [1]. Ask again [3]."
    found, _ = await asked_of(database_url, tenant, words)
    assert found["answer"] == "Refunds take five working days."
    assert len(found["citations"]) == 1


async def test_an_answer_in_another_language_may_cite_the_documents(database_url, tenant):
    words = "Возврат занимает 5 рабочих дней [1]."
    document = {"id": "d", "text": "Refunds take 5 working days."}
    found, _ = await asked_of(
        database_url, tenant, words, document, question="Сколько занимает возврат (refunds)?"
    )
    assert found["answer"] == "Возврат занимает 5 рабочих дней."


async def test_a_stream_shows_each_sentence_when_it_is_whole_and_checked(database_url, tenant):
    words = (
        "Refunds take five working days [1]. Bananas are blue [1]. Shipping is not refunded [1]."
    )
    with scripted(lambda _: words) as model:
        async with rag(database_url, tenant, llm_url=model.url) as client:
            await fill(client, HANDBOOK)
            answer = await client.post(
                "/v1/collections/docs/ask", json={"question": QUESTION, "stream": True}
            )
    events = [
        (lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: ")))
        for lines in (block.split("\n") for block in answer.text.strip().split("\n\n"))
    ]
    assert [name for name, _ in events] == ["passages", "token", "token", "answer"]
    shown = [data["text"] for name, data in events if name == "token"]
    assert shown == ["Refunds take five working days.", "Shipping is not refunded."]
    assert events[-1][1]["answer"] == " ".join(shown)


async def test_the_rest_of_the_budget_and_the_key_reach_the_model(database_url, tenant):
    with scripted(lambda _: "Refunds take five working days [1].") as model:
        async with rag(
            database_url, tenant, llm_url=model.url, llm_api_key="secret", llm_model="small"
        ) as client:
            await fill(client, HANDBOOK)
            client.headers["X-Request-Timeout-Ms"] = "20000"
            await ask(client)
    assert model.headers[0]["authorization"] == "Bearer secret"
    assert 0 < int(model.headers[0]["x-request-timeout-ms"]) < 20000
    assert model.bodies[0]["model"] == "small"


async def test_a_model_that_is_too_slow_is_named(database_url, tenant):
    with scripted(lambda _: "word " * 200) as model:
        model.pause = 0.1
        async with rag(database_url, tenant, llm_url=model.url) as client:
            await fill(client, HANDBOOK)
            answer = await client.post(
                "/v1/collections/docs/ask",
                json={"question": QUESTION},
                headers={"X-Request-Timeout-Ms": "1500"},
            )
            assert model.hung_up.wait(10)
    assert answer.status_code == 504


@pytest.mark.parametrize(("status", "ours"), [(429, 429), (500, 502), (401, 502), (404, 502)])
async def test_the_models_refusals_become_ours(database_url, tenant, status, ours):
    with scripted(lambda _: status) as model:
        async with rag(database_url, tenant, llm_url=model.url) as client:
            await fill(client, HANDBOOK)
            plain = await client.post("/v1/collections/docs/ask", json={"question": QUESTION})
            stream = await client.post(
                "/v1/collections/docs/ask", json={"question": QUESTION, "stream": True}
            )
    assert plain.status_code == ours
    assert "language model" in plain.json()["detail"]
    assert f'"status":{ours}' in stream.text
    if ours == 429:
        assert plain.headers["retry-after"] == "7"


async def test_an_absent_model_is_named(database_url, tenant):
    async with rag(database_url, tenant, llm_url="http://127.0.0.1:9/v1") as client:
        await fill(client, HANDBOOK)
        answer = await client.post("/v1/collections/docs/ask", json={"question": QUESTION})
    assert answer.status_code == 502
    assert "cannot be reached" in answer.json()["detail"]


async def test_without_passages_no_model_is_asked(database_url, tenant):
    with scripted(lambda _: "Yes [1].") as model:
        async with rag(database_url, tenant, llm_url=model.url) as client:
            await client.put("/v1/collections/docs")
            found = await ask(client)
    assert not found["answered"]
    assert model.bodies == []


def as_rewriter(messages: list[dict[str, str]]) -> str:
    """Rewrite where asked to, summarise where asked to, else answer."""
    if "rewrite" in messages[0]["content"]:
        return "How long do refunds take?"
    if "notes" in messages[0]["content"]:
        return "They talk about refunds."
    return "Refunds take five working days [1]."


async def test_a_follow_up_is_rewritten_by_the_model(database_url, tenant):
    with scripted(as_rewriter) as model:
        async with rag(database_url, tenant, llm_url=model.url) as client:
            await fill(client, HANDBOOK)
            first = await ask(client, "Do you refund an order?")
            model.bodies.clear()
            second = await ask(
                client, "And how long does it take?", conversation_id=first["conversation_id"]
            )
    assert "And how long does it take?" in model.prompts[1]
    assert "Do you refund an order?" in model.prompts[1]
    assert model.prompts[3].endswith("Question: How long do refunds take?")
    assert second["answered"]


async def test_a_long_conversation_is_kept_as_a_summary_and_its_newest_turns(database_url, tenant):
    with scripted(as_rewriter) as model:
        async with rag(database_url, tenant, llm_url=model.url, memory_turns=2) as client:
            await fill(client, HANDBOOK)
            conversation = (await ask(client, "Question number 0?"))["conversation_id"]
            for number in range(1, 6):
                await ask(client, f"Question number {number}?", conversation_id=conversation)
            model.bodies.clear()
            await ask(client, "And then?", conversation_id=conversation)
            read = (await client.get(f"/v1/conversations/{conversation}")).json()
    rewriting = next(body for body in model.bodies if "rewrite" in body["messages"][0]["content"])
    told = rewriting["messages"][1]["content"]
    assert read["summary"] == "They talk about refunds."
    assert len(read["turns"]) == 7
    assert "They talk about refunds." in told
    assert "Question number 5?" in told
    assert "Question number 0?" not in told


async def test_a_model_that_cannot_rewrite_leaves_it_to_the_rule(database_url, tenant):
    def say(messages: list[dict[str, str]]) -> str | int:
        is_rewrite = "rewrite" in messages[0]["content"]
        return 500 if is_rewrite else "Refunds take five working days [1]."

    with scripted(say) as model:
        async with rag(database_url, tenant, llm_url=model.url) as client:
            await fill(client, HANDBOOK)
            first = await ask(client, "Do you refund an order?")
            await ask(client, "How long does it take?", conversation_id=first["conversation_id"])
    assert model.prompts[-1].endswith("Do you refund an order? How long does it take?")


async def test_an_operators_prompt_takes_the_place_of_ours(database_url, tenant, tmp_path):
    (tmp_path / "answer.txt").write_text("Antworte wie ein Pirat.")
    with scripted(lambda _: "NO ANSWER") as model:
        async with rag(database_url, tenant, llm_url=model.url, prompts_dir=tmp_path) as client:
            await fill(client, HANDBOOK)
            await ask(client)
    assert model.prompts[0] == "Antworte wie ein Pirat."
