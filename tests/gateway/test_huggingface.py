"""Hugging Face's own client works through the gateway, path by path."""

import asyncio
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from PIL import Image

from services.gateway.gate import scope_needed
from tests.gateway.support import FixedRouter
from tests.gateway.test_contracts import classifier, qa
from tests.gateway.test_openai import front, painted


def asking(base: Any, path: str) -> InferenceClient:
    return InferenceClient(model=str(base).removesuffix("/v1/") + path, token="none", timeout=60)


async def test_the_text_tasks_answer_as_the_inference_api_does():
    async with front(services={"classifier": classifier(), "qa": qa()}) as client:
        base = client.base_url
        feelings = await asyncio.to_thread(
            asking(base, "/hf/text-classification").text_classification, "so happy"
        )
        topics = await asyncio.to_thread(
            asking(base, "/hf/zero-shot-classification").zero_shot_classification,
            "cook a meal",
            ["cook", "travel"],
        )
        found: Any = await asyncio.to_thread(
            asking(base, "/hf/question-answering").question_answering,
            question="When?",
            context="It was built in 1894.",
        )
    assert feelings[0].label == "joy"
    assert topics[0].label == "cook"
    assert found.answer == "1894"


async def test_a_picture_comes_as_a_file_in_the_size_asked_for(redis_url: str, tmp_path: Path):
    async with painted(redis_url, tmp_path) as client:
        image = await asyncio.to_thread(
            asking(client.base_url, "/hf/text-to-image").text_to_image,
            "a cat",
            width=64,
            height=128,
            num_inference_steps=2,
            guidance_scale=3.0,
            seed=7,
        )
        url = f"{str(client.base_url).removesuffix('/v1/')}/hf/text-to-image"
        again = await client._client.post(
            url,
            json={
                "inputs": "a cat",
                "parameters": {"width": 64, "height": 128, "steps": 2, "guidance": 3, "seed": 7},
            },
        )
    assert image.size == (64, 128)
    assert Image.open(BytesIO(again.content)).tobytes() == image.tobytes()
    assert again.headers["x-seed"] == "7"


async def test_what_the_painter_refuses_is_told_in_the_clients_exception(
    redis_url: str, tmp_path: Path
):
    async with painted(redis_url, tmp_path) as client:
        with pytest.raises(HfHubHTTPError, match="width"):
            await asyncio.to_thread(
                asking(client.base_url, "/hf/text-to-image").text_to_image, "a cat", width=63
            )


async def test_the_chat_client_needs_no_model_name():
    async with front(FixedRouter("unclear")) as client:
        base = str(client.base_url).removesuffix("/v1/")
        asked = InferenceClient(base_url=base, api_key="none")
        said = await asyncio.to_thread(
            asked.chat_completion, messages=[{"role": "user", "content": "hm"}]
        )
    assert (said.choices[0].message.content or "").startswith("I am not sure")


def test_a_key_for_pictures_opens_the_clients_path_too():
    assert scope_needed("POST", "/hf/text-to-image") == "imagegen"
