"""A wish becomes a turn, whatever comes of it."""

from typing import Any

import httpx2
import pytest

from services.console.client import Gateway
from services.console.schemas import Blend, Wish
from services.console.wishes import carry_out, carry_out_blend
from tests.console.support import DONE, PICTURE, WAITING, before, last_of, painter
from tests.gateway.support import FixedRouter, Scripted
from tests.support import until

TOWER = "The tower was finished in 1889. It was designed by Gustave Eiffel's company."


async def test_a_picture_is_followed_from_the_line_to_its_end():
    router = FixedRouter("draw", {"subject": "a red circle"})
    async with before({"imagegen": painter()}, router) as client:
        seen = [one async for one in carry_out(client, Wish(text="draw"), "", "en")]
    paintings = [painting for _, painting in seen if painting is not None]
    assert paintings[0].job_id == WAITING["id"]
    assert paintings[0].place == 2
    assert [painting.step for painting in paintings][-1] == 4
    assert any(painting.preview.startswith("data:image/jpeg") for painting in paintings)
    turn = seen[-1][0]
    assert (turn.status, turn.intent) == ("done", "draw")
    assert turn.pictures[0].url == PICTURE["url"]
    assert turn.warnings == DONE["warnings"]


async def test_what_was_understood_is_told_before_anything_is_done():
    async with before({"imagegen": painter()}, FixedRouter("draw", {"subject": "x"})) as client:
        first, painting = await anext(carry_out(client, Wish(text="draw"), "", "en"))
    assert first.understood is not None
    assert (first.understood.intent, first.understood.confidence) == ("draw", 0.9)
    assert painting is None


async def test_another_intent_than_the_understood_one_can_be_chosen():
    classifier = Scripted({"POST /v1/classify": EMOTIONS})
    router = FixedRouter("draw", {"subject": "x"})
    async with before({"classifier": classifier}, router) as client:
        wish = Wish(text="I love it", intent="classify", seed=7)
        turn = await last_of(carry_out(client, wish, "", "en"))
    assert turn.intent == "classify"
    assert turn.understood is not None
    assert turn.understood.is_forced
    assert [score.label for score in turn.scores] == ["joy", "love"]
    assert turn.labels == ["joy"]


EMOTIONS: dict[str, Any] = {
    "model": "emotions",
    "results": [
        {
            "labels": ["joy"],
            "scores": [{"label": "love", "score": 0.2}, {"label": "joy", "score": 0.9}],
        }
    ],
}


@pytest.mark.parametrize("place", ["context", "slots"])
async def test_an_answer_keeps_the_text_around_it(place: str):
    start = TOWER.index("1889")
    best = {"text": "1889", "score": 0.97, "start": start, "end": start + 4}
    qa = Scripted({"POST /v1/answer": {"answerable": True, "answers": [best]}})
    slots = {"question": "When?"} | ({"context": TOWER} if place == "slots" else {})
    async with before({"qa": qa}, FixedRouter("answer", slots)) as client:
        wish = Wish(text="When?", context=TOWER if place == "context" else "")
        turn = await last_of(carry_out(client, wish, "", "en"))
    assert turn.passage is not None
    assert turn.passage.text == "1889"
    assert turn.passage.before + turn.passage.text + turn.passage.after == TOWER


async def test_a_text_without_an_answer_is_no_failure():
    qa = Scripted({"POST /v1/answer": {"answerable": False, "answers": []}})
    async with before({"qa": qa}, FixedRouter("answer", {"question": "Who?"})) as client:
        turn = await last_of(carry_out(client, Wish(text="Who?", context=TOWER), "", "en"))
    assert (turn.status, turn.is_answered, turn.passage) == ("done", False, None)


async def test_an_answer_from_documents_keeps_its_citations_and_conversation():
    citation = {
        "document_id": "tower.md",
        "chunk_id": "tower.md#0",
        "title": "The tower",
        "text": "The tower was finished in 1889.",
        "start": 0,
        "end": 31,
        "score": 0.9,
    }
    answer = {
        "answer": citation["text"],
        "answered": True,
        "citations": [citation],
        "conversation_id": "c1",
    }
    rag = Scripted({"POST /v1/collections/house/ask": answer})
    async with before({"rag": rag}, FixedRouter("ask", {"question": "When?"})) as client:
        wish = Wish(text="When?", collection="house")
        turn = await last_of(carry_out(client, wish, "", "en"))
    assert turn.citations[0].document_id == "tower.md"
    assert (turn.said, turn.conversation_id) == (citation["text"], "c1")


async def test_a_wish_that_needs_an_unset_model_names_the_setting():
    router = FixedRouter("write", {"instruction": "write a poem"})
    async with before({}, router) as client:
        turn = await last_of(carry_out(client, Wish(text="write a poem"), "", "es"))
    assert turn.status == "failed"
    assert "GATEWAY_LLM_URL" in turn.problem


async def test_an_unclear_wish_is_asked_back():
    async with before({}, FixedRouter("unclear")) as client:
        turn = await last_of(carry_out(client, Wish(text="hm"), "", "en"))
    assert (turn.intent, turn.status) == ("unclear", "done")
    assert turn.said.endswith("?")


async def test_a_cancelled_picture_is_no_failure():
    cancelled = WAITING | {"status": "cancelled", "position": None}
    router = FixedRouter("draw", {"subject": "x"})
    async with before({"imagegen": painter(cancelled)}, router) as client:
        turn = await last_of(carry_out(client, Wish(text="draw"), "", "en"))
    assert (turn.status, turn.problem) == ("cancelled", "")


async def test_a_gateway_that_is_away_is_said_in_the_visitors_language():
    away = Gateway("http://gateway", wish_seconds=30, look_seconds=10, transport=_Nobody())
    async with away as client:
        turn = await last_of(carry_out(client, Wish(text="draw"), "", "ru"))
    assert turn.problem == "Шлюз недоступен."


class _Nobody(httpx2.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused", request=request)


@pytest.mark.parametrize("status", ["done", "failed", "cancelled"])
async def test_a_blend_ends_as_its_job_does(status: str):
    job = DONE | {"status": status, "error": "no memory" if status == "failed" else None}
    async with before({"imagegen": painter(job)}) as client:
        blend = Blend(pictures=("AAAA", "BBBB"), second_percent=30)
        turn = await last_of(carry_out_blend(client, blend, "Blend", "", "en"))
    assert turn.status == status
    assert turn.problem == ("no memory" if status == "failed" else "")
    assert len(turn.pictures) == (1 if status == "done" else 0)


async def test_a_blend_that_nobody_watches_any_more_is_cancelled():
    imagegen = painter()
    async with before({"imagegen": imagegen}) as client:
        blend = Blend(pictures=("AAAA", "BBBB"), second_percent=30)
        progress = carry_out_blend(client, blend, "Blend", "", "en")
        await anext(progress)
        await progress.aclose()
        await until(lambda: _was_cancelled(imagegen))


async def _was_cancelled(imagegen: Scripted) -> bool:
    return ("DELETE", f"/v1/images/{WAITING['id']}", None) in imagegen.calls
