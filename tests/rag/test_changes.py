"""A changed embedder or chunking works in the background, and what was there answers meanwhile."""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import numpy as np
import pytest
from pydantic import SecretStr

from services.rag import ingest, spaces
from services.rag.app import create_app
from services.rag.model import Embedder, Vector
from services.rag.settings import Settings
from tests.rag.support import HashEmbedder, fake_qa, fill, search
from tests.support import Network, serve, until

DOCUMENTS = "/v1/collections/docs/documents"
OLD = {"id": "old", "text": "Cats hunt mice."}
NEW = {"id": "new", "text": "Dogs guard the house."}


class Named(HashEmbedder):
    """An embedder of a name and length of its own, which can be held back from documents."""

    def __init__(self, name: str, length: int) -> None:
        super().__init__()
        self.name = name
        self._length = length
        self.held = threading.Event()

    def embed(self, texts: list[str]) -> list[Vector]:
        if self.held.is_set() and any("Cats" in text for text in texts):
            raise ValueError("held back")
        vectors = super().embed(texts)
        return [np.resize(vector, self._length).astype(np.float32) for vector in vectors]


@asynccontextmanager
async def service(
    database_url: str, tenant: str, reference: str, known: dict[str, Named]
) -> AsyncGenerator[httpx2.AsyncClient]:
    """Run the service with an embedder by reference, from those that can still be loaded."""

    def load(wanted: str) -> Embedder:
        return known[wanted]

    settings = Settings(database_url=SecretStr(database_url), embedder=reference)
    app = create_app(settings, network=Network({"qa": fake_qa({})}), load=load)
    async with serve(app) as client:
        client.headers["X-Tenant"] = tenant
        yield client


@pytest.fixture
def known(tenant: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Named]:
    """Return two embedders that no other test has."""
    monkeypatch.setattr(spaces, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(spaces, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(ingest, "BACKOFF_SECONDS", 0.02)
    monkeypatch.setattr(ingest, "MAX_ATTEMPTS", 10**6)  # what is held back is tried again and again
    return {"one": Named(f"one-{tenant}", 64), "two": Named(f"two-{tenant}", 96)}


async def indexed(client: httpx2.AsyncClient) -> None:
    async def done() -> bool:
        return bool((await client.get("/v1/collections/docs")).json()["waiting"] == 0)

    await until(done)


async def test_the_earlier_embedder_answers_until_the_new_one_has_caught_up(
    fresh_url, tenant, known
):
    async with service(fresh_url, tenant, "one", known) as client:
        await fill(client, OLD)
    known["two"].held.set()  # it cannot embed the old document yet
    async with service(fresh_url, tenant, "two", known) as client:
        await fill(client, NEW)
        asked = len(known["one"].seen)
        found = [(await search(client, words, mode="dense"))[0] for words in ("mice", "house")]
        info = (await client.get("/info")).json()
        assert [one["document_id"] for one in found] == ["old", "new"]
        assert known["one"].seen[asked:] == ["mice", "house"]
        assert len(info["models"]) == 2
        known["two"].held.clear()

        async def changed() -> bool:
            asked = len(known["one"].seen)
            await search(client, "mice", mode="dense")
            return len(known["one"].seen) == asked

        await until(changed)
        found = [(await search(client, words, mode="dense"))[0] for words in ("mice", "house")]
        assert [one["document_id"] for one in found] == ["old", "new"]
        await until(lambda: _one_model(client))
    seen = len(known["one"].seen)
    async with service(fresh_url, tenant, "two", known) as client:
        await search(client, "mice", mode="dense")
    assert len(known["one"].seen) == seen  # it is not even loaded


async def _one_model(client: httpx2.AsyncClient) -> bool:
    return len((await client.get("/info")).json()["models"]) == 1


async def test_without_the_earlier_embedder_words_answer_meanwhile(fresh_url, tenant, known):
    async with service(fresh_url, tenant, "one", known) as client:
        await fill(client, OLD)
    known["two"].held.set()
    async with service(fresh_url, tenant, "two", {"two": known["two"]}) as client:
        await fill(client, NEW)
        found = await search(client, "mice")
        assert "old" in {one["document_id"] for one in found}
        known["two"].held.clear()

        async def by_meaning() -> bool:
            found = await search(client, "mice", mode="dense")
            return [one["document_id"] for one in found][:1] == ["old"]

        await until(by_meaning)


async def test_going_back_to_an_embedder_makes_only_what_it_lacks(fresh_url, tenant, known):
    async with service(fresh_url, tenant, "one", known) as client:
        await fill(client, OLD)
    async with service(fresh_url, tenant, "two", known) as client:
        await until(lambda: _one_model(client))
        await fill(client, NEW)
    known["one"].seen.clear()
    async with service(fresh_url, tenant, "one", known) as client:
        await until(lambda: _one_model(client))
        assert (await search(client, "house", mode="dense"))[0]["document_id"] == "new"
    assert not any("Cats" in text for text in known["one"].seen)


async def test_another_chunking_cuts_what_is_there_anew(client):
    text = "One is here.\n\nTwo is there.\n\nThree is gone."
    await fill(client, {"id": "a", "text": text})
    before = await search(client, "one two three", k=9)
    changed = await client.put("/v1/collections/docs", json={"chunking": {"mode": "paragraph"}})

    async def cut() -> bool:
        return len(await search(client, "one two three", k=9)) == 3

    await until(cut)
    found = await search(client, "one two three", k=9)
    collection = (await client.get("/v1/collections/docs")).json()
    assert changed.json()["chunking"]["mode"] == "paragraph"
    assert [one["text"] for one in before] == [text]
    assert {one["text"] for one in found} == set(text.split("\n\n"))
    assert all(text[one["start"] : one["end"]] == one["text"] for one in found)
    assert (collection["chunks"], collection["documents"]) == (3, 1)


async def test_a_description_alone_leaves_the_chunking_as_it_is(client):
    await client.put("/v1/collections/docs", json={"chunking": {"mode": "sentence"}})
    await client.put("/v1/collections/docs", json={"description": "New"})
    collection = (await client.get("/v1/collections/docs")).json()
    assert (collection["description"], collection["chunking"]["mode"]) == ("New", "sentence")


@pytest.mark.parametrize(
    "chunking", [{"mode": "magic"}, {"max_words": 1}, {"step": 0}, {"size": 3}, "sentence"]
)
async def test_a_chunking_that_makes_no_sense_is_refused(empty, chunking):
    answer = await empty.put("/v1/collections/docs", json={"chunking": chunking})
    assert answer.status_code == 422


async def events(client: httpx2.AsyncClient, **headers: str) -> list[tuple[str, dict[str, Any]]]:
    """Return all events until the stream ends."""
    answer = await client.get("/v1/collections/docs/events", headers=headers)
    assert answer.status_code == 200, answer.text
    found = []
    for block in answer.text.strip().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((lines["event"], json.loads(lines["data"])))
    return found


async def test_events_tell_of_each_document_until_none_waits(client):
    await client.put("/v1/collections/docs")
    following = asyncio.create_task(events(client, **{"Last-Event-ID": "0"}))
    documents = [{"id": "good", "text": "Fine."}, {"id": "bad", "text": "poison"}]
    await client.post(DOCUMENTS, json={"documents": documents})
    await following
    await indexed(client)
    told = await events(client, **{"Last-Event-ID": "0"})
    ends = {
        one["id"]: (one["status"], bool(one["error"])) for name, one in told if name == "document"
    }
    assert ends == {"good": ("ready", False), "bad": ("failed", True)}
    assert told[-1][0] == "done"
    assert (told[-1][1]["documents"], told[-1][1]["failed"]) == (1, 1)


async def test_a_listener_that_comes_back_misses_nothing_and_hears_nothing_twice(client):
    await fill(client, {"id": "a", "text": "One."})
    first = [
        one for name, one in await events(client, **{"Last-Event-ID": "0"}) if name == "document"
    ]
    await fill(client, {"id": "b", "text": "Two."})
    last = str(first[-1]["change"])
    then = [
        one for name, one in await events(client, **{"Last-Event-ID": last}) if name == "document"
    ]
    assert [one["id"] for one in first] == ["a"]
    assert [one["id"] for one in then] == ["b"]


async def test_documents_are_listed_page_by_page(client):
    await fill(client, *({"id": f"d{n}", "text": "Text."} for n in range(5)))
    ids, after = [], ""
    while after is not None:
        page = (await client.get(DOCUMENTS, params={"after": after, "limit": "2"})).json()
        ids += [one["id"] for one in page["documents"]]
        after = page["next"]
    assert ids == [f"d{n}" for n in range(5)]
    assert (await client.get("/v1/collections/none/documents")).status_code == 404
