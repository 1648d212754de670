"""What each intent does, in the in-process network of fake services."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import anyio
import httpx2
import pytest
from fastapi import FastAPI
from starlette.responses import JSONResponse, StreamingResponse

from services.gateway.app import create_app
from services.gateway.settings import Settings
from tests.gateway.support import FixedRouter, Scripted, listening, served
from tests.support import until

JOB = "/v1/images/j1"
WAITING = {"id": "j1", "status": "waiting", "position": 1, "pictures": [], "error": None}
PICTURE = {"url": f"{JOB}/pictures/0", "seed": 7, "width": 64, "height": 64, "sha256": "00"}
DONE = WAITING | {"status": "done", "position": None, "pictures": [PICTURE]}
DRAWS = FixedRouter("draw", {"subject": "a circle"})
ANSWERS: dict[str, dict[str, Any]] = {
    "classifier": {"POST /v1/classify": {"model": "m", "results": [{"labels": ["joy"]}]}},
    "qa": {"POST /v1/answer": {"model": "m", "answers": [{"text": "1843"}]}},
    "rag": {
        "POST /v1/collections/default/ask": {"answer": "On Mondays.", "answered": True},
        "POST /v1/collections/manuals/ask": {"answer": "Turn it off.", "answered": True},
    },
}


def accepted() -> JSONResponse:
    return JSONResponse(WAITING, 202, {"Location": JOB})


def events(*said: tuple[str, Any]) -> StreamingResponse:
    text = "".join(
        f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n"
        for number, (name, data) in enumerate(said)
    )
    return StreamingResponse(iter([": hello\n\n", text]), media_type="text/event-stream")


def painter(job: Mapping[str, Any] = DONE, answers: Mapping[str, Any] | None = None) -> Scripted:
    """Return a picture service whose job ends as `job`."""
    return Scripted(
        {
            "POST /v1/images": accepted,
            "POST /v1/blends": accepted,
            f"GET {JOB}": dict(job),
            f"GET {JOB}/events": lambda: events(
                ("painting", {}),
                ("progress", {"step": 1, "steps": 2}),
                ("preview", {"data": "aGk="}),
                ("done", DONE),
            ),
            f"DELETE {JOB}": dict(job),
            **(answers or {}),
        }
    )


async def assist(
    router: FixedRouter,
    services: Mapping[str, FastAPI] | None = None,
    headers: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    **body: Any,
) -> httpx2.Response:
    async with served(router, services, **(settings or {})) as client:
        return await client.post(
            "/v1/assist", json={"text": "whatever", **body}, headers=dict(headers or {})
        )


@pytest.mark.parametrize(
    ("intent", "slots", "body", "service", "call"),
    [
        ("classify", {"text": "yay"}, {}, "classifier", ("/v1/classify", {"texts": ["yay"]})),
        (
            "classify",
            {},
            {"context": "hooray", "options": {"top_k": 3}},
            "classifier",
            ("/v1/classify", {"texts": ["hooray"], "top_k": 3}),
        ),
        (
            "answer",
            {"question": "When?"},
            {"context": "In 1843."},
            "qa",
            ("/v1/answer", {"question": "When?", "context": "In 1843."}),
        ),
        (
            "answer",
            {"question": "When?", "context": "In 1843."},
            {},
            "qa",
            ("/v1/answer", {"question": "When?", "context": "In 1843."}),
        ),
        (
            "ask",
            {"question": "When is it closed?"},
            {},
            "rag",
            ("/v1/collections/default/ask", {"question": "When is it closed?"}),
        ),
        (
            "ask",
            {"question": "And then?"},
            {"collection": "manuals", "conversation_id": "c1"},
            "rag",
            ("/v1/collections/manuals/ask", {"question": "And then?", "conversation_id": "c1"}),
        ),
    ],
)
async def test_an_intent_calls_its_service_in_the_services_own_words(
    intent: str, slots: Any, body: Any, service: str, call: tuple[str, Any]
):
    fake = Scripted(ANSWERS[service])
    answer = await assist(FixedRouter(intent, slots), {service: fake.app}, **body)
    assert answer.status_code == 200, answer.text
    assert fake.calls == [("POST", *call)]
    said = answer.json()
    assert (said["intent"], said["service"]) == (intent, service)
    assert said["output"] == ANSWERS[service][f"POST {call[0]}"]
    assert said["request_id"] == answer.headers["x-request-id"]
    assert said["timings"]["total_ms"] >= said["timings"]["service_ms"] >= 0


@pytest.mark.parametrize(
    ("intent", "slots", "body", "field"),
    [
        ("draw", {}, {}, "text"),
        ("classify", {}, {}, "context"),
        ("answer", {"question": "When?"}, {}, "context"),
        ("answer", {}, {"context": "In 1843."}, "text"),
        ("ask", {}, {}, "text"),
        ("blend", {}, {"images": [{"data": "aGk="}]}, "images"),
        ("blend", {"weights": [0.2, 0.3, 0.5]}, {"images": [{"data": "aGk="}] * 2}, "images"),
        ("write", {}, {}, "text"),
    ],
)
async def test_what_is_missing_is_asked_for_by_name(intent: str, slots: Any, body: Any, field: str):
    answer = await assist(FixedRouter(intent, slots), **body)
    assert answer.status_code == 422
    assert [line["field"] for line in answer.json()["errors"]] == [field]


async def test_a_picture_is_accepted_with_its_job_and_address():
    imagegen = painter()
    answer = await assist(
        FixedRouter("draw", {"subject": "a red circle"}),
        {"imagegen": imagegen.app},
        {"Idempotency-Key": "k1"},
        options={"seed": 7},
    )
    assert answer.status_code == 202
    assert answer.headers["location"] == JOB
    assert answer.json()["output"] == WAITING
    assert imagegen.calls == [("POST", "/v1/images", {"prompt": "a red circle", "seed": 7})]
    assert imagegen.headers[-1]["idempotency-key"] == "k1"


async def test_a_caller_who_waits_gets_the_picture():
    answer = await assist(
        FixedRouter("draw", {"subject": "a red circle"}),
        {"imagegen": painter().app},
        {"Prefer": "respond-async, wait=20"},
    )
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.json()["output"]["pictures"] == [PICTURE]


async def test_events_that_break_off_are_taken_up_where_they_ended():
    looks = iter([WAITING, DONE])
    imagegen = painter(answers={f"GET {JOB}": lambda: next(looks)})
    answer = await assist(DRAWS, {"imagegen": imagegen.app}, {"Prefer": "wait=20"})
    assert answer.status_code == 200
    resumed = [headers.get("last-event-id") for headers in imagegen.headers]
    assert resumed == [None, None, None, "3", None]


async def test_when_the_wait_runs_out_the_job_is_handed_over():
    imagegen = painter(WAITING)
    answer = await assist(DRAWS, {"imagegen": imagegen.app}, {"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert answer.headers["location"] == JOB
    assert answer.json()["output"]["status"] == "waiting"
    assert "DELETE" not in [method for method, _, _ in imagegen.calls]


async def test_a_job_is_handed_over_although_its_events_cannot_be_followed():
    imagegen = painter(answers={f"GET {JOB}/events": lambda: JSONResponse({}, 503)})
    answer = await assist(DRAWS, {"imagegen": imagegen.app}, {"Prefer": "wait=20"})
    assert (answer.status_code, answer.json()["output"]) == (202, WAITING)


@pytest.mark.parametrize(("status", "code"), [("failed", 502), ("cancelled", 409)])
async def test_a_picture_that_never_comes_is_an_error(status: str, code: int):
    imagegen = painter(WAITING | {"status": status, "error": "out of memory"})
    answer = await assist(DRAWS, {"imagegen": imagegen.app}, {"Prefer": "wait=9"})
    assert answer.status_code == code
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_blend_weighs_its_pictures_as_the_text_says():
    imagegen = painter()
    answer = await assist(
        FixedRouter("blend", {"weights": [0.3, 0.7], "prompt": "in oil"}),
        {"imagegen": imagegen.app},
        images=[{"picture": "/v1/images/a/pictures/0"}, {"data": "aGk="}],
    )
    assert answer.status_code == 202
    sources = [
        {"picture": "/v1/images/a/pictures/0", "weight": 0.3},
        {"data": "aGk=", "weight": 0.7},
    ]
    assert imagegen.calls == [("POST", "/v1/blends", {"sources": sources, "prompt": "in oil"})]


async def test_a_blend_without_weights_mixes_evenly():
    imagegen = painter()
    images = [{"data": "aGk="}, {"data": "aG8="}]
    await assist(FixedRouter("blend"), {"imagegen": imagegen.app}, images=images)
    assert [source["weight"] for source in imagegen.calls[0][2]["sources"]] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("language", "start"), [("en", "I am not sure"), ("es", "No estoy seguro"), ("ru", "Не совсем")]
)
async def test_an_unclear_wish_is_answered_with_a_question_and_runs_nothing(
    language: str, start: str
):
    rag = Scripted(ANSWERS["rag"])
    router = FixedRouter("unclear", language=language, alternatives=("ask", "answer"))
    answer = await assist(router, {"rag": rag.app}, also=["ask"])
    said = answer.json()
    assert (answer.status_code, said["intent"], said["service"]) == (200, "unclear", None)
    assert said["output"]["intents"] == ["ask", "answer"]
    assert said["output"]["text"].startswith(start)
    assert rag.calls == []


@pytest.mark.parametrize(
    ("language", "can", "cannot"),
    [
        ("en", "tell the emotion of a text", "Right now I cannot draw a picture"),
        ("es", "reconocer la emoción de un texto", "Ahora mismo no puedo dibujar"),
        ("ru", "определить эмоцию текста", "Сейчас не могу нарисовать"),
    ],
)
async def test_without_a_language_model_chat_says_honestly_what_works(
    language: str, can: str, cannot: str
):
    answer = await assist(FixedRouter("chat", language=language), {"classifier": Scripted({}).app})
    said = answer.json()
    assert (answer.status_code, said["service"]) == (200, "gateway")
    able, _, unable = said["output"]["text"].partition(cannot)
    assert can in able
    assert unable


async def test_without_a_language_model_writing_names_the_setting():
    answer = await assist(FixedRouter("write", {"instruction": "Write a poem."}))
    assert answer.status_code == 503
    assert "GATEWAY_LLM_URL" in answer.json()["detail"]


LLM = {"llm_url": "http://llm/v1", "llm_model": "tiny", "llm_key": "k", "internal_token": "secret"}
COMPLETION = {"choices": [{"message": {"role": "assistant", "content": "Roses are red."}}]}


@pytest.mark.parametrize(
    ("intent", "slots", "prompt"),
    [
        ("write", {"instruction": "Shorten it."}, "Shorten it.\n\nA long text."),
        ("chat", {"text": "Hello!"}, "Hello!"),
    ],
)
async def test_writing_and_chatting_go_to_the_language_model(intent: str, slots: Any, prompt: str):
    llm = Scripted({"POST /v1/chat/completions": COMPLETION})
    answer = await assist(
        FixedRouter(intent, slots), {"llm": llm.app}, settings=LLM, context="A long text."
    )
    assert answer.json()["output"] == {"text": "Roses are red."}
    messages = [{"role": "user", "content": prompt}]
    order = {"model": "tiny", "messages": messages}
    assert llm.calls == [("POST", "/v1/chat/completions", order)]
    assert llm.headers[-1]["authorization"] == "Bearer k"
    assert "x-internal-token" not in llm.headers[-1]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ((404, {"error": {"message": "no such model"}}), 502),
        ((429, {"error": {"message": "slow down"}}), 429),
        ((200, {"choices": []}), 502),
        ((200, "roses"), 502),
    ],
    ids=["unknown model", "busy", "no choice", "another shape"],
)
async def test_a_language_model_that_fails_is_not_the_callers_fault(said: Any, status: int):
    code, body = said
    llm = Scripted({"POST /v1/chat/completions": lambda: JSONResponse(body, code)})
    router = FixedRouter("write", {"instruction": "Write."})
    answer = await assist(router, {"llm": llm.app}, settings=LLM)
    assert answer.status_code == status


async def test_the_caller_may_name_the_intent_and_the_text_is_read_for_it():
    classifier = Scripted(ANSWERS["classifier"])
    answer = await assist(
        FixedRouter("chat"),
        {"classifier": classifier.app},
        text='How does "I won!" sound?',
        options={"intent": "classify"},
    )
    said = answer.json()
    assert (said["intent"], said["confidence"]) == ("classify", 1.0)
    assert classifier.calls == [("POST", "/v1/classify", {"texts": ["I won!"]})]


async def test_an_idempotency_key_that_no_header_can_carry_is_refused():
    key = "ключ".encode()
    async with served(DRAWS, {"imagegen": painter().app}) as client:
        answer = await client.post(
            "/v1/assist", json={"text": "a circle"}, headers=[(b"Idempotency-Key", key)]
        )
    assert answer.status_code == 422


async def test_further_branches_run_beside_and_report_for_themselves():
    services = {name: Scripted(ANSWERS[name]).app for name in ("rag", "classifier")}
    answer = await assist(
        FixedRouter("ask", {"question": "When?"}),
        services,
        text="When is it closed?",
        also=["classify", "classify", "ask", "answer", "draw"],
        options={"k": 3},
    )
    assert answer.status_code == 200
    branches = answer.json()["branches"]
    assert set(branches) == {"classify", "answer", "draw"}
    assert branches["classify"]["status"] == 200
    assert branches["classify"]["output"] == ANSWERS["classifier"]["POST /v1/classify"]
    assert branches["classify"]["latency_ms"] >= 0
    assert branches["answer"]["status"] == 422
    assert branches["draw"]["status"] == 502
    assert branches["draw"]["error"] == "The service imagegen cannot be reached."


async def test_the_main_branch_fails_as_its_service_does():
    busy = JSONResponse({"detail": "The queue is full."}, 429, {"retry-after-ms": "1500"})
    classifier = Scripted({"POST /v1/classify": lambda: busy})
    router = FixedRouter("classify", {"text": "yay"})
    answer = await assist(router, {"classifier": classifier.app}, also=["ask"])
    assert answer.status_code == 429
    assert answer.json()["detail"] == "The queue is full."
    assert answer.headers["retry-after-ms"] == "1500"


async def test_a_service_that_refuses_our_token_is_not_the_callers_fault():
    classifier = Scripted({"POST /v1/classify": lambda: JSONResponse({"detail": "no"}, 401)})
    router = FixedRouter("classify", {"text": "yay"})
    answer = await assist(router, {"classifier": classifier.app})
    assert answer.status_code == 502


async def test_a_service_that_is_gone_is_named():
    answer = await assist(FixedRouter("classify", {"text": "yay"}))
    assert answer.status_code == 502
    assert answer.json()["detail"] == "The service classifier cannot be reached."


def told(text: str) -> list[tuple[str, Any]]:
    """Read a stream's events."""
    blocks = (block.split("\n") for block in text.strip().split("\n\n"))
    return [(name[7:], json.loads(data[6:])) for name, data in blocks]


async def test_a_stream_tells_the_route_the_progress_and_the_result():
    answer = await assist(
        DRAWS,
        {"imagegen": painter().app},
        {"Accept": "text/event-stream"},
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    said = told(answer.text)
    assert said[0][1]["intent"] == "draw"
    assert said[1:-1] == [
        ("progress", WAITING),
        ("progress", {"status": "painting"}),
        ("progress", {"step": 1, "steps": 2}),
        ("preview", {"data": "aGk="}),
    ]
    assert (said[0][0], said[-1][0]) == ("route", "result")
    assert said[-1][1]["output"] == DONE


async def test_a_stream_ends_with_the_error_as_a_problem():
    answer = await assist(FixedRouter("draw"), headers={"Accept": "text/event-stream"})
    name, problem = told(answer.text)[-1]
    assert (name, problem["status"]) == ("error", 422)
    assert problem["errors"][0]["field"] == "text"


@pytest.mark.parametrize("header", [{"Prefer": "wait=30"}, {"Accept": "text/event-stream"}])
@pytest.mark.parametrize("key", [None, "k1"])
async def test_hanging_up_cancels_a_picture_unless_the_caller_can_come_back_for_it(
    header: dict[str, str], key: str | None
):
    followed, left = anyio.Event(), anyio.Event()

    async def painting() -> AsyncGenerator[str]:
        followed.set()
        try:
            yield ": painting\n\n"
            await anyio.sleep_forever()
        finally:
            left.set()

    imagegen = painter(answers={f"GET {JOB}/events": lambda: StreamingResponse(painting())})
    async with (
        listening(imagegen.app) as painter_url,
        listening(create_app(Settings(imagegen_url=painter_url), DRAWS)) as url,
        httpx2.AsyncClient(base_url=url) as client,
    ):
        headers = header | ({"Idempotency-Key": key} if key else {})
        wish = client.post("/v1/assist", json={"text": "a circle"}, headers=headers)
        caller = asyncio.create_task(wish)
        await in_time(followed)
        caller.cancel()
        await in_time(left)

        async def is_over() -> bool:
            return key is not None or ("DELETE", JOB, None) in imagegen.calls

        await until(is_over)
    assert (("DELETE", JOB, None) in imagegen.calls) == (key is None)


@pytest.mark.parametrize("caller_leaves", [True, False])
async def test_a_further_branch_ends_with_its_caller_and_with_a_failed_main_branch(
    caller_leaves: bool,
):
    begun, left = anyio.Event(), anyio.Event()

    async def silent(scope: Any, receive: Any, _send: Any) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/ask"):
            begun.set()
            while (await receive())["type"] != "http.disconnect":
                pass
            left.set()

    async def main_branch(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/v1/classify":
            await in_time(begun)
            if caller_leaves:
                await anyio.sleep_forever()
            await JSONResponse({"detail": "broken"}, 503)(scope, _receive, send)

    async with (
        listening(silent) as rag_url,
        listening(main_branch) as classifier_url,
        listening(
            create_app(
                Settings(rag_url=rag_url, classifier_url=classifier_url),
                FixedRouter("classify", {"text": "yay"}),
            )
        ) as url,
        httpx2.AsyncClient(base_url=url, timeout=30) as client,
    ):
        wish = client.post("/v1/assist", json={"text": "yay", "also": ["ask"]})
        caller = asyncio.create_task(wish)
        await in_time(begun)
        if caller_leaves:
            caller.cancel()
        await in_time(left)
        if not caller_leaves:
            assert (await caller).status_code == 503


async def in_time(event: anyio.Event) -> None:
    with anyio.fail_after(10):
        await event.wait()
