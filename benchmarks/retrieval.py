"""How often the right passage comes first, in three languages: dense, keyword and hybrid.

    python -m benchmarks.retrieval --data DIR

DIR holds `xquad.en.json[.gz]`, `xquad.es.json[.gz]` and `xquad.ru.json[.gz]` of
https://github.com/google-deepmind/xquad (CC BY-SA 4.0): 240 paragraphs and 1,190 questions per
language. Every question is put to all paragraphs of its language, without titles.
"""

import argparse
import asyncio
import gzip
import json
import platform
import statistics
import tempfile
import time
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

from kit.batching import Batcher
from kit.metrics import Metrics
from services.rag import model, postgres, spaces
from services.rag.database import Database, opened
from services.rag.ingest import Ingest
from services.rag.jobs import Jobs
from services.rag.model import Embedder, Vector
from services.rag.retrieval import Retrieval
from services.rag.schemas import Mode, NewDocument
from services.rag.settings import Settings
from services.rag.spaces import Spaces
from services.rag.store import Store

LANGUAGES = ("en", "es", "ru")
MODES: tuple[Mode, ...] = ("dense", "keyword", "hybrid")
DEPTH = 10

Question = tuple[str, str]
"""A question and the id of the paragraph that answers it."""


def read(folder: Path, language: str) -> tuple[list[NewDocument], list[Question]]:
    """Return one language's paragraphs and questions."""
    file = next(folder.glob(f"**/xquad.{language}.json*"))
    raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    documents: list[NewDocument] = []
    questions: list[Question] = []
    for article in json.loads(raw)["data"]:
        for paragraph in article["paragraphs"]:
            identity = f"p{len(documents)}"
            documents.append(NewDocument(id=identity, text=paragraph["context"]))
            questions += [(one["question"], identity) for one in paragraph["qas"]]
    return documents, questions


async def measure(
    retrieval: Retrieval, language: str, mode: Mode, questions: list[Question]
) -> dict[str, Any]:
    """Ask every question and say how high its paragraph stood, and how long that took."""
    reciprocal: list[float] = []
    milliseconds: list[float] = []
    for question, identity in questions:
        started = time.perf_counter()
        found = await retrieval.search(("bench", language), question, k=DEPTH, mode=mode)
        milliseconds.append((time.perf_counter() - started) * 1000)
        documents = list(dict.fromkeys(one.document_id for one in found))
        rank = documents.index(identity) + 1 if identity in documents else 0
        reciprocal.append(1 / rank if rank else 0.0)
    count = len(questions)
    return {
        "language": language,
        "mode": mode,
        "recall_at_1": round(sum(one == 1 for one in reciprocal) / count, 3),
        "recall_at_5": round(sum(one >= 1 / 5 for one in reciprocal) / count, 3),
        "mrr_at_10": round(statistics.mean(reciprocal), 3),
        "p50_ms": round(statistics.median(milliseconds), 2),
        "p99_ms": round(statistics.quantiles(milliseconds, n=100)[98], 2),
    }


async def index(store: Store, ingest: Ingest, language: str, documents: list[NewDocument]) -> float:
    """Index the paragraphs and return the seconds it took."""
    await store.create(("bench", language), "")
    started = time.perf_counter()
    await store.add(("bench", language), documents)
    ingest.wake()
    while (await store.collection(("bench", language))).waiting:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.05)
    return time.perf_counter() - started


async def run(data: Path, folder: Path, words: int) -> list[dict[str, Any]]:
    """Index and ask in every language."""
    embedder = model.load(Settings())
    metrics = Metrics("bench")
    batcher: Batcher[str, Vector] = Batcher(embedder.embed, metrics=metrics, tokens=model.cost)
    rows: list[dict[str, Any]] = []
    async with (
        postgres.running(folder) as url,
        opened(url, connections=4) as database,
        spaces_of(database, embedder, batcher) as known,
        ingest_of(database, known, metrics, words).running() as ingest,
    ):
        retrieval = Retrieval(database, known, dense_weights=Settings().dense_weights)
        for language in LANGUAGES:
            documents, questions = read(data, language)
            seconds = await index(Store(database), ingest, language, documents)
            print(f"{language}: {len(documents)} paragraphs indexed in {seconds:.1f} s")
            for mode in MODES:
                rows.append(await measure(retrieval, language, mode, questions))
                print(json.dumps(rows[-1]))
    return rows


def spaces_of(
    database: Database, embedder: Embedder, batcher: Batcher[str, Vector]
) -> AbstractAsyncContextManager[Spaces]:
    """Run the batcher with a table for its vectors."""
    return spaces.opened(
        *(database, Jobs(database), embedder, None),
        run=lambda _: batcher.running(["warm up"]),
        load=partial(model.load, Settings()),
    )


def ingest_of(database: Database, known: Spaces, metrics: Metrics, words: int) -> Ingest:
    return Ingest(
        Jobs(database),
        known,
        max_words=words,
        lease_seconds=60,
        metrics=metrics,
    )


def main() -> None:
    """Measure and print, with the machine."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, help="write the results here as JSON")
    arguments.add_argument("--words", type=int, default=Settings().chunk_words)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="rag-") as name:
        Path(name).chmod(0o711)  # as root, the server runs as another user
        rows = asyncio.run(run(given.data, Path(name) / "data", given.words))
    result = {"machine": platform.processor() or platform.machine(), "results": rows}
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
