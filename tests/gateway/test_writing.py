"""Writing and chatting against a real OpenAI-compatible server with a real, tiny language model."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway import tiny_writer
from tests.gateway.support import FixedRouter
from tests.gateway.test_openai import front, say

WRITE = FixedRouter("write", {"instruction": "Write a poem about the sea."})


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tiny_writer.make(tmp_path_factory.mktemp("writer"))
    with tiny_writer.serving(folder) as url:
        yield {"llm_url": url, "llm_model": str(folder), "imagegen_url": "http://127.0.0.1:9"}


async def test_a_wish_to_write_is_written_and_streamed_word_by_word(writer: dict[str, Any]):
    limits = {"max_tokens": 12, "temperature": 0}
    async with front(WRITE, **writer) as client:
        whole = await say(client, "Write a poem about the sea.", **limits)
        options = {"stream": True, "stream_options": {"include_usage": True}}
        stream = await say(client, "Write a poem about the sea.", **limits, **options)
        chunks = [chunk async for chunk in stream]
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    text = whole.choices[0].message.content
    assert text
    assert len([piece for piece in pieces if piece]) > 1
    assert "".join(piece or "" for piece in pieces) == text
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage.completion_tokens == 12
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-2].model_extra["switchboard"]["intent"] == "write"
    assert chunks[-1].usage.total_tokens >= 12


async def test_assist_streams_tokens_between_the_route_and_the_result(writer: dict[str, Any]):
    async with front(WRITE, **writer) as client:
        url = f"{str(client.base_url).removesuffix('/v1/')}/v1/assist"
        body = {"text": "Write a poem.", "options": {"max_tokens": 6, "temperature": 0}}
        answer = await client._client.post(url, json=body, headers={"Accept": "text/event-stream"})
    blocks = (block.split("\n") for block in answer.text.strip().split("\n\n"))
    told = [(name[7:], json.loads(data[6:])) for name, data in blocks]
    names = [name for name, _ in told]
    assert (names[0], names[-1]) == ("route", "result")
    assert set(names[1:-1]) == {"token"}
    said = "".join(data["text"] for name, data in told if name == "token")
    assert told[-1][1]["output"]["text"] == said


async def test_a_named_model_is_asked_directly_stream_and_all(writer: dict[str, Any]):
    async with front(WRITE, **writer) as client:
        names = [model.id async for model in client.models.list()]
        messages: Any = [{"role": "user", "content": "hello"}]
        stream = await client.chat.completions.create(
            model=writer["llm_model"], messages=messages, max_tokens=5, stream=True
        )
        pieces = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
    assert names[0] == "switchboard"
    assert any(pieces)


async def test_the_history_changes_what_is_written(writer: dict[str, Any]):
    before: Any = [
        {"role": "user", "content": "the bridge was built of stone"},
        {"role": "assistant", "content": "and the river runs below it"},
    ]
    last: Any = [{"role": "user", "content": "roses are red"}]
    async with front(FixedRouter("chat", {"text": "roses are red"}), **writer) as client:
        said = [
            await client.chat.completions.create(
                model="switchboard", messages=messages, max_tokens=4, temperature=0
            )
            for messages in (last, before + last)
        ]
    assert said[0].usage is not None
    assert said[1].usage is not None
    assert said[1].usage.prompt_tokens > said[0].usage.prompt_tokens
