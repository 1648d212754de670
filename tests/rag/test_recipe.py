"""The ranker's recipe: the shelf searches as the service does, the trees are scikit-learn's, and a tiny run works."""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from pydantic import SecretStr
from sklearn.ensemble import HistGradientBoostingClassifier

from services.rag import features
from services.rag.app import create_app
from services.rag.settings import Settings
from services.rag.trees import Trees
from tests.rag.support import HashEmbedder, fake_qa, fill, rag, search
from tests.serving import on_a_port
from tests.support import Network
from training.rag import collection, corpora, forest, prepare, train
from training.rag.shelf import Shelf
from training.rag.vectors import Remembering

ORGANS = ["heart", "liver", "kidney", "lung", "skin", "brain", "bone", "eye"]
KINDS = ["symptoms", "treatment", "causes"]


def medical() -> list[dict[str, Any]]:
    """Return rows in MedQuAD's form: one disease per organ, one answer per kind of question."""
    return [
        {
            "id": f"1/{organ}/{kind}",
            "focus": f"Disease of the {organ}",
            "question": f"What are the {kind} of the disease of the {organ}?",
            "answer": f"The {kind} are many. Doctors of the {organ} know them, number {at}. "
            + "They write long reports about it. " * (at % 5),
        }
        for at, (organ, kind) in enumerate((o, k) for o in ORGANS for k in KINDS)
    ]


def written(folder: Path) -> Path:
    """Write MedQuAD's file."""
    (folder / "medquad").mkdir(parents=True)
    with gzip.open(folder / "medquad/medquad.jsonl.gz", "wt") as file:
        file.writelines(f"{json.dumps(row)}\n" for row in medical())
    return folder


async def test_the_shelf_finds_and_ranks_what_the_service_does(fresh_url, tenant, tmp_path):
    corpus = corpora.medquad(written(tmp_path))
    shelf = Shelf(corpus.documents, HashEmbedder())
    documents = [one.model_dump(include={"id", "title", "text"}) for one in corpus.documents]
    async with rag(fresh_url, tenant) as client:
        await fill(client, *documents)
        for question in corpus.questions[::5]:
            (seen,) = shelf.search([question.text])
            found = await search(client, question.text, explain=True, k=24)
            by_place = {place: row for (place, _), row in zip(seen.head, seen.table, strict=True)}
            for one in found:
                place = (one["document_id"], int(one["chunk_id"].rpartition("#")[2]))
                expected = dict(zip(features.NAMES, by_place[place].tolist(), strict=True))
                told = one["explanation"]["features"]
                for name in ("dense_rank", "keyword_rank"):  # equals may change places
                    assert told.pop(name) == pytest.approx(expected.pop(name), abs=0.7)
                # The average length is that of the moment of indexing, and workers race.
                for name in [name for name in told if "keyword" in name or name == "fused"]:
                    assert told.pop(name) == pytest.approx(expected.pop(name), abs=0.15), name
                assert told == pytest.approx(expected, abs=2e-2), place


def test_the_trees_that_are_written_say_what_scikit_learn_says():
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(800, len(features.NAMES))).astype(np.float32)
    right = rows[:, 0] + rows[:, 1] * rows[:, 2] > 0
    model = HistGradientBoostingClassifier(max_iter=30, max_depth=5).fit(rows, right)
    trees = Trees.from_bytes(forest.converted(model).to_bytes())
    assert np.allclose(trees.probabilities(rows), model.predict_proba(rows)[:, 1], atol=1e-6)


def test_a_disease_is_for_training_or_for_testing_however_it_is_written():
    assert corpora.is_kept("Asthma") == corpora.is_kept(" asthma ")
    shares = [corpora.is_kept(f"disease {number}") for number in range(1000)]
    assert 0.15 < np.mean(shares) < 0.25


def test_a_tiny_recipe_learns_a_ranker_that_the_service_can_read(tmp_path, monkeypatch):
    data, work = written(tmp_path / "data"), tmp_path / "work"
    monkeypatch.setattr(prepare, "Remembering", lambda file: Remembering(file, HashEmbedder()))
    monkeypatch.setattr(corpora, "medquad", lambda folder, _: ORIGINAL(folder))
    monkeypatch.setattr(forest, "LEAST_EXAMPLES", 2)
    arguments = ["prepare", "--data", str(data), "--work", str(work), "--tiny"]
    monkeypatch.setattr(sys, "argv", arguments)
    work.mkdir()
    prepare.main()
    report = train.run(work, tmp_path / "out")
    trees = Trees.from_bytes((tmp_path / "out" / "ranker.safetensors").read_bytes())
    assert trees.names == features.NAMES
    assert report["right"] > 0


ORIGINAL = corpora.medquad


def test_a_collection_learns_from_its_own_pairs_and_keeps_only_what_is_better(
    database_url, tenant, monkeypatch
):
    monkeypatch.setattr(forest, "LEAST_EXAMPLES", 2)
    monkeypatch.setattr(collection, "LEAST_QUESTIONS", 10)
    settings = Settings(database_url=SecretStr(database_url), qa_url="http://qa")
    app = create_app(settings, HashEmbedder(), Network({"qa": fake_qa({})}))
    pairs = [
        {"question": row["question"], "document_id": row["id"].replace("/", "-")}
        for row in medical()
    ]
    # The other way round: people here want the passage that the service puts last.
    with (
        on_a_port(app) as address,
        httpx2.Client(base_url=address, headers={"X-Tenant": tenant}, timeout=60) as client,
    ):
        client.put("/v1/collections/docs").raise_for_status()
        documents = [
            {"id": row["id"].replace("/", "-"), "title": row["focus"], "text": row["answer"]}
            for row in medical()
        ]
        client.post(
            "/v1/collections/docs/documents",
            json={"documents": documents},
            headers={"Prefer": "wait=60"},
        ).raise_for_status()
        odd = [{"question": pair["question"], "document_id": "1-eye-causes"} for pair in pairs]
        learnt = collection.run(client, "docs", odd)
        best = client.post(
            "/v1/collections/docs/search", json={"query": pairs[0]["question"]}
        ).json()["results"][0]
        again = collection.run(client, "docs", odd)
    assert learnt["put_in_place"]
    assert learnt["first_after"] > learnt["first_before"]
    assert best["document_id"] == "1-eye-causes"
    assert not again["put_in_place"]
