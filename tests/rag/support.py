"""A fake embedder, a fake qa service, and the rag service on top of a real database."""

import hashlib
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import numpy as np
from fastapi import FastAPI
from pydantic import SecretStr

from services.rag.app import create_app
from services.rag.model import Vector
from services.rag.settings import Settings
from tests.support import Network, serve

DIMENSIONS = 64
ANSWERS = {"long": "five working days"}  # what the fake qa service knows: key word, answer


class HashEmbedder:
    """Texts that share words are close; refuses "poison" and notes what it saw."""

    name, revision, backend = "hash", "1", "fake"

    def __init__(self) -> None:
        self.seen: list[str] = []

    def embed(self, texts: list[str]) -> list[Vector]:
        self.seen += texts
        if any("poison" in text for text in texts):
            raise ValueError("poison")
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Vector:
        vector = np.full(DIMENSIONS, 0.01, dtype=np.float32)
        for word in re.findall(r"\w+", text.lower()):
            vector[hashlib.md5(word.encode()).digest()[0] % DIMENSIONS] += 1
        return vector / np.linalg.norm(vector)


def fake_qa(answers: dict[str, str], asked: list[dict[str, Any]] | None = None) -> FastAPI:
    """Answer with the given words where the context holds them, by a key word of the question."""
    app = FastAPI()

    @app.post("/v1/answer")
    async def answer(body: dict[str, Any]) -> dict[str, Any]:
        if asked is not None:
            asked.append(body)
        for key, words in answers.items():
            start = body["context"].find(words)
            if key in body["question"] and start >= 0:
                span = {"text": words, "share": 0.999, "start": start, "end": start + len(words)}
                return {"model": "fake", "no_answer_score": 0.001, "answers": [span]}
        return {"model": "fake", "no_answer_score": 1.0, "answers": []}

    return app


@asynccontextmanager
async def rag(
    database_url: str,
    tenant: str,
    *,
    answers: dict[str, str] | None = None,
    asked: list[dict[str, Any]] | None = None,
    embedder: HashEmbedder | None = None,
    qa: str = "http://qa",
    **settings: Any,
) -> AsyncGenerator[httpx2.AsyncClient]:
    """Run the service for one tenant."""
    known = Settings(database_url=SecretStr(database_url), qa_url=qa, **settings)
    network = Network({"qa": fake_qa(answers or {}, asked)})
    app = create_app(known, embedder or HashEmbedder(), network)
    async with serve(app) as client:
        client.headers["X-Tenant"] = tenant
        yield client


async def fill(
    client: httpx2.AsyncClient, *documents: dict[str, Any], name: str = "docs"
) -> list[dict[str, Any]]:
    """Make the collection and wait until the documents can be found."""
    await client.put(f"/v1/collections/{name}")
    answer = await client.post(
        f"/v1/collections/{name}/documents",
        json={"documents": list(documents)},
        headers={"Prefer": "wait=60"},
    )
    assert answer.status_code == 201, answer.text
    receipts: list[dict[str, Any]] = answer.json()["documents"]
    return receipts


async def search(
    client: httpx2.AsyncClient, query: str, *, name: str = "docs", **body: Any
) -> list[dict[str, Any]]:
    answer = await client.post(f"/v1/collections/{name}/search", json={"query": query, **body})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results
