"""Rankers order what hybrid search found: the service's, a collection's own, and any cross-encoder."""

from typing import Any

import httpx2
import numpy as np
import pytest
from sentence_transformers import CrossEncoder as Reference

from kit.models import LocalModel, resolve
from kit.onnx_model import OnnxText
from services.rag import features
from services.rag.cross_encoder import CrossEncoder
from services.rag.ranker import LearnedRanker
from services.rag.trees import Trees
from tests.rag.support import fill, rag, search
from tests.rag.tiny_models import cross_encoder

CATS = {"id": "cats", "title": "Cats", "text": "Cats hunt mice at night."}
DOGS = {"id": "dogs", "title": "Dogs", "text": "Dogs chase cats and bark at mice."}
QUERY = "cats mice"


def stump(feature: str, *, prefers_more: bool) -> bytes:
    """Return a ranker that looks at one feature only, in two steps."""
    at = features.NAMES.index(feature)
    low, high = (-2.0, 2.0) if prefers_more else (2.0, -2.0)
    return Trees(
        names=features.NAMES,
        feature=np.array([at, 0, at, 0, 0], dtype=np.int16),
        threshold=np.array([0.5, 0, 1.0, 0, 0], dtype=np.float32),
        left=np.array([1, 1, 3, 3, 4], dtype=np.int32),
        right=np.array([2, 1, 4, 3, 4], dtype=np.int32),
        value=np.array([0, low, 0, (low + high) / 2, high], dtype=np.float32),
        roots=np.array([0], dtype=np.int32),
        depth=2,
        baseline=0.0,
    ).to_bytes()


async def put(client: httpx2.AsyncClient, content: bytes) -> httpx2.Response:
    return await client.put("/v1/collections/docs/ranker", content=content)


async def test_a_collections_own_ranker_decides_until_it_is_deleted(client):
    await fill(client, CATS, DOGS)
    usual = [one["document_id"] for one in await search(client, QUERY)]
    place = features.NAMES.index("title_named")
    more, less = (stump("title_named", prefers_more=more) for more in (True, False))
    assert (await put(client, more)).status_code == 200
    named = await search(client, QUERY, explain=True)
    assert (await put(client, less)).status_code == 200
    unnamed = await search(client, QUERY)
    gone = await client.delete("/v1/collections/docs/ranker")
    again = await client.delete("/v1/collections/docs/ranker")
    assert place >= 0
    assert [one["document_id"] for one in named] == ["cats", "dogs"]
    assert named[0]["explanation"]["ranker"].startswith("collection@")
    assert [one["document_id"] for one in unnamed] == ["dogs", "cats"]
    assert (gone.status_code, again.status_code) == (204, 404)
    assert [one["document_id"] for one in await search(client, QUERY)] == usual


def broken() -> list[bytes]:
    """Return files that are no rankers, one wrong in each way."""
    good = stump("words", prefers_more=True)
    looping = bytearray(good)
    at = good.find(np.array([1, 1, 3, 3, 4], dtype=np.int32).tobytes())
    looping[at : at + 4] = np.array([0], dtype=np.int32).tobytes()
    far = bytearray(good)
    far[at : at + 4] = np.array([900], dtype=np.int32).tobytes()
    infinite = bytearray(good)
    place = good.find(np.array([0.5, 0, 1.0, 0, 0], dtype=np.float32).tobytes())
    infinite[place : place + 4] = np.array([np.nan], dtype=np.float32).tobytes()
    unknown = good.replace(b"title_named", b"title_nemed")
    return [b"", b"no", good[:-3], bytes(far), bytes(infinite), unknown, b"\x80\x04K\x01."]


@pytest.mark.parametrize("number", range(len(broken())))
async def test_a_file_that_is_no_ranker_is_refused(client, number):
    await fill(client, CATS)
    answer = await put(client, broken()[number])
    assert answer.status_code == 422, answer.text
    assert (await search(client, QUERY))[0]["document_id"] == "cats"


async def test_a_ranker_needs_its_collection(client):
    answer = await put(client, stump("words", prefers_more=True))
    assert answer.status_code == 404


async def test_another_tenants_ranker_does_not_exist(client, tenant):
    await fill(client, CATS)
    await put(client, stump("words", prefers_more=True))
    client.headers["X-Tenant"] = f"{tenant}-other"
    assert (await client.delete("/v1/collections/docs/ranker")).status_code == 404


async def test_scores_are_explained_only_when_asked(client):
    await fill(client, CATS, DOGS)
    plain = await search(client, QUERY)
    told = await search(client, QUERY, explain=True)
    bare = await search(client, QUERY, explain=True, rerank=False)
    assert "explanation" not in plain[0]
    assert "highlights" not in plain[0]
    assert set(told[0]["explanation"]["features"]) == set(features.NAMES)
    assert told[0]["score"] == told[0]["explanation"]["ranker_score"]
    assert bare[0]["explanation"]["ranker"] is None
    assert bare[0]["score"] == bare[0]["explanation"]["fused_score"]


async def test_scores_fall_from_the_first_to_the_last(client):
    many = [
        {"id": f"d{n}", "text": f"Cats and mice, number {n}. " * (n % 4 + 1)} for n in range(70)
    ]
    await fill(client, *many)
    for options in ({}, {"rerank": False}, {"fusion": "rrf"}, {"fusion": "rrf", "rerank": False}):
        scores = [one["score"] for one in await search(client, QUERY, k=70, **options)]
        assert len(scores) == 70
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)


async def test_highlights_are_the_questions_words_in_any_form(client):
    text = "Кошки охотятся ночью. The cat is hunting; hunters sleep."
    await fill(client, {"id": "d", "title": "T", "text": text})
    english = (await search(client, "cats hunting", highlight=True))[0]["highlights"]
    russian = (await search(client, "кошка", highlight=True))[0]["highlights"]
    assert [text[one["start"] : one["end"]] for one in english] == ["cat", "hunting"]
    assert [text[one["start"] : one["end"]] for one in russian] == ["Кошки"]


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"path:{cross_encoder(tmp_path_factory.mktemp('models') / 'cross-encoder')}"


def expected(reranker: str, query: str, texts: list[str]) -> list[float]:
    """Return what sentence-transformers makes of the pairs."""
    reference = Reference(reranker.removeprefix("path:"), device="cpu")
    return [float(one) for one in reference.predict([(query, text) for text in texts])]


async def test_any_cross_encoder_orders_the_best_passages(database_url, tenant, reranker, tmp_path):
    documents = [
        {"id": "a", "text": "refunds take five working days ."},
        {"id": "b", "text": "shipping is not refunded ."},
        {"id": "c", "text": "the shipping is long ."},
    ]
    query = "how long do refunds take ?"
    wanted = expected(reranker, query, [one["text"] for one in documents])
    order = [documents[at]["id"] for at in np.argsort(wanted)[::-1]]
    options: dict[str, Any] = {"models_dir": tmp_path, "reranker_precision": "fp32"}
    async with rag(database_url, tenant, reranker=reranker, **options) as client:
        await fill(client, *documents)
        found = await search(client, query, explain=True)
        plain = await search(client, query, rerank=False)
        body = {"query": query, "texts": [one["text"] for one in documents]}
        ranks = (await client.post("/rerank", json=body)).json()
        raw = (await client.post("/rerank", json={**body, "raw_scores": True})).json()
        info = (await client.get("/info")).json()
    assert [one["document_id"] for one in found] == order
    assert [one["score"] for one in found] == pytest.approx(sorted(wanted)[::-1], abs=1e-3)
    assert found[0]["explanation"]["reranker_score"] == found[0]["score"]
    assert len({one["document_id"] for one in plain}) == 3
    assert [documents[rank["index"]]["id"] for rank in ranks] == order
    logits = np.array([rank["score"] for rank in raw])
    assert 1 / (1 + np.exp(-logits)) == pytest.approx([rank["score"] for rank in ranks], abs=1e-5)
    assert "cross-encoder" in {model["model"] for model in info["models"]}


def test_a_long_passage_is_read_to_its_end(reranker, tmp_path):
    files = resolve(reranker, tmp_path)
    assert isinstance(files, LocalModel)
    model = CrossEncoder(OnnxText(files, precision="fp32"))
    long = "shipping is not refunded . " * 30
    (windows,) = model.windows("refunds ?", [long])
    (ends,) = model.windows("refunds ? " * 60, ["five days ."])
    assert len(windows) > 3
    assert all(len(window) <= model.model.max_length for window in (*windows, *ends))
    assert ends[0].type_ids.count(1) > 1  # a long question leaves room for the passage


def test_the_trees_of_a_ranker_are_only_for_its_own_features():
    other = Trees.from_bytes(stump("words", prefers_more=True))
    with pytest.raises(ValueError, match="other features"):
        LearnedRanker(Trees(**{**other.__dict__, "names": ("one",) * len(features.NAMES)}), "other")
