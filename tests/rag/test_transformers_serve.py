"""A real OpenAI-compatible server, `transformers serve`, writes for `ask`: the model is random, the wire is not."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.rag.support import fill, rag
from tests.rag.tiny_models import language_model
from tests.support import WAIT_SECONDS

HANDBOOK = {"id": "handbook", "title": "Handbook", "text": "Refunds take five working days."}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("served")
    model = language_model(folder / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = Path(sys.executable).with_name("transformers")
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "home"), "NO_COLOR": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [command, "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            env={**os.environ, **offline},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait(process, port, folder / "log")
        yield f"http://127.0.0.1:{port}/v1", model
    finally:
        process.terminate()
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < give_up:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            httpx2.get(f"http://127.0.0.1:{port}/health", trust_env=False)
        except httpx2.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text()[-3000:])


async def test_a_random_models_words_are_read_to_the_end_and_not_believed(
    database_url, tenant, served
):
    url, model = served
    options = {"llm_url": url, "llm_model": str(model), "llm_max_tokens": 24}
    async with rag(database_url, tenant, **options) as client:
        await fill(client, HANDBOOK)
        body = {"question": "How long do refunds take?"}
        plain = await client.post("/v1/collections/docs/ask", json=body, timeout=WAIT_SECONDS)
        stream = await client.post(
            "/v1/collections/docs/ask", json={**body, "stream": True}, timeout=WAIT_SECONDS
        )
    answer = plain.json()
    assert plain.status_code == 200, plain.text
    assert answer["source"] == "written"
    text = HANDBOOK["text"]
    assert all(text[one["start"] : one["end"]] == one["text"] for one in answer["citations"])
    assert "event: passages" in stream.text
    assert "event: answer" in stream.text


async def test_a_model_that_the_server_does_not_have_is_an_error_of_the_upstream(
    database_url, tenant, served
):
    url, _ = served
    async with rag(database_url, tenant, llm_url=url, llm_model="nobody/nothing") as client:
        await fill(client, HANDBOOK)
        answer = await client.post("/v1/collections/docs/ask", json={"question": "Refunds?"})
    assert answer.status_code == 502
    assert "language model" in answer.json()["detail"]
