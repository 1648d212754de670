"""What belongs to one tenant does not exist for another, on every path that takes an id."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.gateway.app import create_app
from services.gateway.keys import digest_of
from services.gateway.settings import Settings
from services.imagegen import app as imagegen_app
from tests.gateway.support import FixedRouter, listening, served
from tests.gateway.test_contracts import qa, rag
from tests.imagegen.fakes import PlainPainter, settings_for, working
from tests.support import Network, serve, until

OWNER = {"Authorization": "Bearer of-acme"}
OTHER = {"Authorization": "Bearer of-rival", "X-Tenant": "acme"}
KEYS = f"{digest_of('of-acme')} acme,{digest_of('of-rival')} rival"
WAIT = {"Prefer": "wait=30"}


@dataclass(frozen=True)
class Owned:
    """A gateway, and what acme keeps behind it."""

    client: httpx2.AsyncClient
    job: str
    picture: str
    conversation: str


@asynccontextmanager
async def owned(redis_url: str, database_url: str, folder: Path) -> AsyncGenerator[Owned]:
    chosen = settings_for(redis_url, folder)
    reading = qa()
    knowing = rag(database_url, Network({"qa": reading}))
    async with (
        serve(reading),
        serve(knowing),
        working(chosen, PlainPainter()),
        serve(imagegen_app.create_app(chosen)) as painting,
    ):
        apps = {"qa": reading, "rag": knowing, "imagegen": painting._transport.app}  # type: ignore[attr-defined]
        urls: dict[str, Any] = {f"{name}_url": f"http://{name}" for name in apps}
        router = FixedRouter("ask", {"question": "When was the bridge built?"})
        app = create_app(Settings(**urls, keys=KEYS), router, Network(apps))
        async with (
            listening(app) as url,
            httpx2.AsyncClient(base_url=url, timeout=60) as client,
        ):

            async def is_ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await until(is_ready)
            yield await filled(client)


async def filled(client: httpx2.AsyncClient) -> Owned:
    """Keep a collection, a document, a conversation and a picture for acme."""
    await client.put("/v1/collections/secret", headers=OWNER)
    document = {"id": "plan", "text": "The bridge was built in 1894."}
    stored = await client.post(
        "/v1/collections/secret/documents", json={"documents": [document]}, headers=OWNER | WAIT
    )
    assert stored.status_code == 201, stored.text
    question = {"question": "When was the bridge built?"}
    asked = await client.post("/v1/collections/secret/ask", json=question, headers=OWNER)
    body = {"text": "a cat", "options": {"intent": "draw"}}
    drawn = await client.post("/v1/assist", json=body, headers=OWNER | WAIT)
    assert drawn.status_code == 200, drawn.text
    job = drawn.json()["output"]
    return Owned(
        client,
        f"/v1/images/{job['id']}",
        job["pictures"][0]["url"],
        asked.json()["conversation_id"],
    )


def paths_of(owned: Owned) -> list[tuple[str, str, Any]]:
    """Return every request that names something of acme's; what takes it away comes last."""
    ask = {"question": "When was the bridge built?"}
    mix = {"sources": [{"picture": owned.picture}], "prompt": "in oil"}
    from_it = {"prompt": "a dog", "init_image": {"picture": owned.picture}}
    wish = {"text": "When was the bridge built?"}
    chat = {"model": "switchboard", "messages": [{"role": "user", "content": "When?"}]}
    return [
        ("GET", owned.job, None),
        ("GET", f"{owned.job}/events", None),
        ("GET", owned.picture, None),
        ("POST", "/v1/blends", mix),
        ("POST", "/v1/images", from_it),
        ("GET", "/v1/collections/secret", None),
        ("GET", "/v1/collections/secret/documents/plan", None),
        ("POST", "/v1/collections/secret/search", {"query": "bridge"}),
        ("POST", "/v1/collections/secret/ask", ask),
        ("POST", "/v1/assist", wish | {"collection": "secret"}),
        ("POST", "/v1/chat/completions", chat | {"collection": "secret"}),
        ("GET", f"/v1/conversations/{owned.conversation}", None),
        ("DELETE", f"/v1/conversations/{owned.conversation}", None),
        ("DELETE", "/v1/collections/secret/documents/plan", None),
        ("DELETE", "/v1/collections/secret", None),
        ("DELETE", owned.job, None),
    ]


async def test_another_tenants_id_is_a_404_everywhere(
    redis_url: str, database_url: str, tmp_path: Path
):
    async with owned(redis_url, database_url, tmp_path) as there:
        for headers, is_owner in ((OTHER, False), (OWNER, True)):
            for method, path, body in paths_of(there):
                answer = await there.client.request(method, path, json=body, headers=headers)
                if is_owner:
                    assert answer.status_code < 400, (method, path, answer.text)
                else:
                    assert answer.status_code == 404, (method, path, answer.text)
                    assert "1894" not in answer.text


async def test_another_tenants_conversation_is_not_gone_on_with(
    redis_url: str, database_url: str, tmp_path: Path
):
    async with owned(redis_url, database_url, tmp_path) as there:
        await there.client.put("/v1/collections/default", headers=OTHER)
        ask = {"question": "And then?", "conversation_id": there.conversation}
        direct = await there.client.post("/v1/collections/default/ask", json=ask, headers=OTHER)
        wish = {"text": "And then?", "conversation_id": there.conversation}
        wished = await there.client.post("/v1/assist", json=wish, headers=OTHER)
        chat = {
            "messages": [{"role": "user", "content": "And then?"}],
            "conversation_id": there.conversation,
        }
        chatted = await there.client.post("/v1/chat/completions", json=chat, headers=OTHER)
        listed = await there.client.get("/v1/collections", headers=OTHER)
    assert [answer.status_code for answer in (direct, wished, chatted)] == [404] * 3
    assert [entry["name"] for entry in listed.json()["collections"]] == ["default"]


@pytest.mark.parametrize("path", ["/v1/images/x", "/v1/collections/x", "/v1/conversations/x"])
async def test_without_a_key_nothing_tells_whether_it_exists(path: str):
    async with served(keys=KEYS) as client:
        answer = await client.get(path)
    assert answer.status_code == 401
