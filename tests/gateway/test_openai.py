"""OpenAI's own client works through the gateway; the services are real and only their models fake."""

import base64
import hashlib
import json
import struct
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi import FastAPI
from openai import AsyncOpenAI
from starlette.responses import JSONResponse, Response

from services.gateway.app import create_app
from services.gateway.settings import Settings
from services.imagegen import app as imagegen_app
from tests.gateway.support import URLS, FixedRouter, Scripted, listening
from tests.gateway.test_contracts import classifier, qa, rag
from tests.imagegen.fakes import PlainPainter, settings_for, working
from tests.support import Network, serve, until

CIRCLE = FixedRouter("draw", {"subject": "a red circle"})
KEY = "open sesame"
KEYS = f"{hashlib.sha256(KEY.encode()).hexdigest()} acme"


@asynccontextmanager
async def front(
    router: Any = None,
    services: Mapping[str, FastAPI] | None = None,
    key: str = "none",
    **settings: Any,
) -> AsyncGenerator[AsyncOpenAI]:
    """Yield OpenAI's client of a gateway on a real socket."""
    services = dict(services or {})
    chosen = Settings(**{**URLS, **settings})
    network = None if "imagegen_url" in settings else Network(services)
    async with AsyncExitStack() as stack:
        for app in services.values():
            if hasattr(app.state, "health"):  # a scripted one has none
                await stack.enter_async_context(serve(app))
        app = create_app(chosen, router or FixedRouter(), network)
        url = await stack.enter_async_context(listening(app))
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60)
        await stack.enter_async_context(client)

        async def is_ready() -> bool:
            return (await client._client.get(f"{url}/readyz")).status_code == 200

        await until(is_ready)
        yield client


async def say(client: AsyncOpenAI, text: str, **more: Any) -> Any:
    messages: Any = [{"role": "user", "content": text}]
    return await client.chat.completions.create(model="switchboard", messages=messages, **more)


async def test_a_chat_tells_an_emotion():
    router = FixedRouter("classify", {"text": "so happy"})
    async with front(router, {"classifier": classifier()}) as client:
        said = await say(client, "how does this sound: so happy")
    assert said.object == "chat.completion"
    assert said.choices[0].message.role == "assistant"
    assert said.choices[0].message.content == "joy (98%)"
    assert said.choices[0].finish_reason == "stop"
    assert said.usage.total_tokens == 0
    assert said.model_extra["switchboard"]["intent"] == "classify"


async def test_a_chat_answers_from_a_text():
    router = FixedRouter("answer", {"question": "When?", "context": "It was built in 1894."})
    async with front(router, {"qa": qa()}) as client:
        said = await say(client, "When? It was built in 1894.")
        streamed = [chunk async for chunk in await say(client, "When?", stream=True)]
    assert said.choices[0].message.content == "1894"
    assert [chunk.choices[0].delta.content for chunk in streamed] == ["1894", None]
    assert streamed[0].choices[0].delta.role == "assistant"
    assert streamed[-1].choices[0].finish_reason == "stop"


async def test_a_chat_answers_from_the_knowledge_base_with_citations(database_url: str):
    reading = qa()
    services = {"rag": rag(database_url, Network({"qa": reading})), "qa": reading}
    router = FixedRouter("ask", {"question": "When was the bridge built?"})
    async with front(router, services) as client:
        base = str(client.base_url).removesuffix("/v1/")
        await client._client.put(f"{base}/v1/collections/bridges")
        files = {"files": ("bridge.txt", b"The bridge was built in 1894.", "text/plain")}
        wait = {"Prefer": "wait=20"}
        stored = await client._client.post(
            f"{base}/v1/collections/bridges/documents", files=files, headers=wait
        )
        assert stored.status_code == 201, stored.text
        said = await say(client, "When was it built?", extra_body={"collection": "bridges"})
        message = said.choices[0].message
        history: Any = [
            {"role": "user", "content": "When was it built?"},
            message.model_dump(exclude_none=True),
            {"role": "user", "content": "And the bridge?"},
        ]
        more = await client.chat.completions.create(
            model="switchboard", messages=history, extra_body={"collection": "bridges"}
        )
    assert "1894" in message.content
    assert "1894" in message.model_extra["citations"][0]["text"]
    conversation = message.model_extra["conversation_id"]
    assert (more.choices[0].message.model_extra or {})["conversation_id"] == conversation


@asynccontextmanager
async def painted(
    redis_url: str, folder: Path, router: Any = CIRCLE
) -> AsyncGenerator[AsyncOpenAI]:
    chosen = settings_for(redis_url, folder)
    async with (
        working(chosen, PlainPainter()),
        listening(imagegen_app.create_app(chosen)) as url,
        front(router, imagegen_url=url) as client,
    ):

        async def is_ready() -> bool:
            return (await client._client.get(f"{url}/readyz")).status_code == 200

        await until(is_ready)
        yield client


def is_png(data: bytes) -> bool:
    return data.startswith(b"\x89PNG")


async def test_a_picture_comes_into_a_chat_as_markdown_and_as_a_part(
    redis_url: str, tmp_path: Path
):
    async with painted(redis_url, tmp_path) as client:
        said = await say(client, "draw a red circle")
        message = said.choices[0].message
        assert message.content.startswith("![a red circle](http://127.0.0.1:")
        url = message.content.partition("(")[2].rstrip(")")
        assert is_png((await client._client.get(url)).content)
        part = message.model_extra["images"][0]
        assert is_png(base64.b64decode(part["image_url"]["url"].partition(",")[2]))
        again: Any = [
            {"role": "user", "content": "draw a red circle"},
            {"role": "assistant", "content": message.content},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "draw it again"},
                    {"type": "image_url", "image_url": {"url": url}},
                ],
            },
        ]
        stream = await client.chat.completions.create(
            model="switchboard", messages=again, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert (chunks[0].choices[0].delta.model_extra or {})["images"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 0


async def test_images_are_generated_as_files_and_as_addresses(redis_url: str, tmp_path: Path):
    async with painted(redis_url, tmp_path) as client:
        files = await client.images.generate(prompt="a cat", n=2, size="64x128")
        assert files.data is not None
        assert len(files.data) == 2
        assert all(is_png(base64.b64decode(image.b64_json or "")) for image in files.data)
        named = await client.images.generate(
            prompt="a cat", response_format="url", model="dall-e-3", extra_body={"seed": 7}
        )
        assert named.data is not None
        url = named.data[0].url
        assert url is not None
        assert is_png((await client._client.get(url)).content)
    assert files.size == "64x128"


async def test_a_generated_image_streams_to_its_end(redis_url: str, tmp_path: Path):
    async with painted(redis_url, tmp_path) as client:
        stream = await client.images.generate(prompt="a cat", stream=True, partial_images=1)
        events = [event async for event in stream]
    assert events[-1].type == "image_generation.completed"
    assert is_png(base64.b64decode(events[-1].b64_json))
    kinds = {event.type for event in events[:-1]}
    assert kinds <= {"image_generation.partial_image"}


async def test_previews_come_as_partial_images_as_many_as_were_asked_for():
    def events(*lines: tuple[str, Any]) -> Any:
        text = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in lines)
        return lambda: Response(text, media_type="text/event-stream")

    preview = {"step": 1, "image": "data:image/webp;base64,aGk="}
    job = {"id": "j", "status": "waiting"}
    picture = {"url": "/v1/images/j/pictures/0", "width": 64, "height": 64, "seed": 1}
    imagegen = Scripted(
        {
            "POST /v1/images": lambda: JSONResponse(job, 202, {"Location": "/v1/images/j"}),
            "GET /v1/images/j/events": events(*[("preview", preview)] * 3, ("done", {})),
            "GET /v1/images/j": {"id": "j", "status": "done", "pictures": [picture]},
            "GET /v1/images/j/pictures/0": {"png": 1},
        }
    )
    async with front(services={"imagegen": imagegen.app}) as client:
        stream = await client.images.generate(prompt="a cat", stream=True, partial_images=2)
        told = [event async for event in stream]
    partial = [event for event in told if event.type == "image_generation.partial_image"]
    assert [(event.partial_image_index, event.b64_json) for event in partial] == [
        (0, "aGk="),
        (1, "aGk="),
    ]
    assert told[-1].type == "image_generation.completed"


async def test_the_models_are_listed_and_one_can_be_asked_for():
    llm = Scripted({"GET /v1/models": {"object": "list", "data": [{"id": "tiny", "created": 5}]}})
    async with front(services={"llm": llm.app}, llm_url="http://llm/v1") as client:
        names = [model.id async for model in client.models.list()]
        one = await client.models.retrieve("tiny")
        with pytest.raises(openai.NotFoundError) as none:
            await client.models.retrieve("huge")
    assert names == ["switchboard", "tiny"]
    assert one.owned_by == "llm"
    assert none.value.code == "model_not_found"


COMPLETION = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "tiny",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Roses are red."},
            "finish_reason": "length",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}
LLM = {"llm_url": "http://llm/v1", "llm_model": "tiny", "llm_key": "k"}


async def test_writing_reads_the_history_and_takes_the_callers_settings():
    llm = Scripted({"POST /v1/chat/completions": COMPLETION})
    router = FixedRouter("write", {"instruction": "Shorter."})
    history: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "A poem"},
        {"role": "assistant", "content": "Roses are very red."},
        {"role": "user", "content": [{"type": "text", "text": "Shorter."}]},
    ]
    async with front(router, {"llm": llm.app}, **LLM) as client:
        said = await client.chat.completions.create(
            model="switchboard", messages=history, temperature=0.5, max_tokens=9, user="u"
        )
    assert said.choices[0].message.content == "Roses are red."
    assert said.choices[0].finish_reason == "length"
    assert said.usage is not None
    assert said.usage.total_tokens == 7
    sent = llm.calls[-1][2]
    assert [turn["role"] for turn in sent["messages"]] == ["system", "user", "assistant", "user"]
    assert (sent["temperature"], sent["max_tokens"]) == (0.5, 9)
    assert "user" not in sent


async def test_another_models_request_is_passed_on_unread_under_our_key():
    llm = Scripted({"POST /v1/chat/completions": COMPLETION})
    async with front(services={"llm": llm.app}, key=KEY, keys=KEYS, **LLM) as client:
        tools: Any = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
        said = await client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "hi"}], tools=tools, n=2
        )
    assert said.choices[0].message.content == "Roses are red."
    assert llm.calls[-1][2]["tools"] == tools
    assert llm.headers[-1]["authorization"] == "Bearer k"
    assert "x-tenant" not in llm.headers[-1]


async def test_embeddings_reach_the_knowledge_base_in_the_clients_own_encoding():
    numbers = base64.b64encode(struct.pack("<2f", 0.5, -1.0)).decode()
    data = [{"object": "embedding", "index": 0, "embedding": numbers}]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    answer = {"object": "list", "model": "m", "data": data, "usage": usage}
    rag = Scripted({"POST /v1/embeddings": answer})
    async with front(services={"rag": rag.app}) as client:
        found = await client.embeddings.create(model="m", input="hi")
    assert found.data[0].embedding == [0.5, -1.0]
    assert rag.calls[0][2]["encoding_format"] == "base64"


async def test_a_model_that_is_nowhere_is_told_so():
    async with front() as client:
        with pytest.raises(openai.NotFoundError) as refused:
            await client.chat.completions.create(
                model="gpt-4", messages=[{"role": "user", "content": "hi"}]
            )
    assert refused.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("messages", "more", "param"),
    [
        ([], {}, "messages"),
        ([{"role": "user", "content": ""}], {}, "messages"),
        ([{"role": "assistant", "content": "hi"}], {}, "messages"),
        ([{"role": "user", "content": "x" * 20_001}], {}, "messages"),
        ([{"role": "user", "content": "hi"}], {"n": 2}, "n"),
        ([{"role": "user", "content": "hi"}], {"tools": [{"type": "function"}]}, "tools"),
        (
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "mix"},
                        {"type": "image_url", "image_url": {"url": "http://169.254.169.254/x"}},
                    ],
                }
            ],
            {},
            "messages",
        ),
    ],
)
async def test_a_wrong_chat_is_a_400_that_names_the_field(messages: Any, more: Any, param: str):
    async with front() as client:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model="switchboard", messages=messages, **more)
    assert refused.value.param == param
    assert refused.value.type == "invalid_request_error"
    assert refused.value.request_id


@pytest.mark.parametrize("size", ["big", "63x64", "0x0"])
async def test_a_wrong_size_is_a_400(redis_url: str, tmp_path: Path, size: Any):
    async with painted(redis_url, tmp_path) as client:
        with pytest.raises(openai.BadRequestError):
            await client.images.generate(prompt="a cat", size=size)


async def test_a_wrong_key_is_an_authentication_error():
    async with front(key="wrong", keys=KEYS) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            await say(client, "hi")
    assert refused.value.code == "invalid_api_key"


async def test_a_busy_service_is_a_rate_limit_error_with_its_advice():
    busy = JSONResponse({"detail": "The queue is full."}, 429, {"retry-after-ms": "1500"})
    services = {"classifier": Scripted({"POST /v1/classify": lambda: busy}).app}
    async with front(FixedRouter("classify", {"text": "yay"}), services) as client:
        for stream in (False, True):
            with pytest.raises(openai.RateLimitError) as refused:
                await say(client, "yay", stream=stream)
            assert refused.value.response.headers["retry-after-ms"] == "1500"


async def test_a_service_that_is_gone_is_named():
    async with front(FixedRouter("classify", {"text": "yay"})) as client:
        with pytest.raises(openai.InternalServerError) as refused:
            await say(client, "yay")
    assert refused.value.status_code == 502
    assert "classifier" in refused.value.message


async def test_what_a_client_without_a_model_name_asks_is_routed():
    router = FixedRouter("unclear", alternatives=("draw", "ask"))
    async with front(router) as client:
        said = await client.chat.completions.create(
            model="dummy", messages=[{"role": "user", "content": "hm"}]
        )
    assert said.choices[0].message.content is not None
    assert said.choices[0].message.content.startswith("I am not sure")
