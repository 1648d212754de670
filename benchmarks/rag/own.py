"""The service's own store and retrieval, in process, with the benchmark's vectors.

python -m benchmarks.rag.own DATA FOLDER
"""

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from pgvector import HalfVector

from benchmarks.rag.peers import common
from benchmarks.rag.peers.common import Data, K
from kit.metrics import Metrics
from services.rag import language, postgres, postings, ranker, vectors
from services.rag.chunking import Span
from services.rag.database import Database, opened
from services.rag.ingest import Ingest
from services.rag.jobs import Jobs
from services.rag.postings import Chunk, Key
from services.rag.retrieval import Retrieval, Wish
from services.rag.schemas import Chunking, NewDocument
from services.rag.settings import Settings
from services.rag.spaces import Space, Spaces
from services.rag.store import Store

KEY: Key = ("bench", "chunks")
INGESTED = 200  # documents that go the whole durable way, for the rate
AT_ONCE = 200  # documents that are loaded in one commit
CHUNKS = """insert into chunks values
    ($1, $2, $3, $4, $5, $6, $7, $8, $9, array_to_tsvector($10::text[]), $11)"""


class Known:
    """Knows the vectors of all texts: nothing is embedded."""

    def __init__(self, data: Data) -> None:
        self._vectors = dict(zip(data.texts, data.vectors, strict=True))
        self._vectors |= dict(zip(data.questions, data.queries, strict=True))

    async def submit(self, text: str) -> np.ndarray:
        """Return a text's vector."""
        vector: np.ndarray = self._vectors[text]
        return vector

    async def submit_many(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the vectors of several texts."""
        return [self._vectors[text] for text in texts]


async def load(database: Database, space: Space, data: Data) -> float:
    """Put all chunks into the tables, each a document, many in one commit; return the seconds."""
    started = time.perf_counter()
    stems = [language.stems(text, ["en"]) for text in data.texts]
    average = sum(map(len, stems)) / len(stems)
    for start in range(0, len(data.texts), AT_ONCE):
        rows = range(start, min(start + AT_ONCE, len(data.texts)))
        documents = [
            (*KEY, str(row), row.to_bytes(8), data.texts[row], *_columns(data, space, row))
            for row in rows
        ]
        chunks = [
            made
            for row in rows
            for made in postings._rows(
                (*KEY, str(row), 1),
                [Chunk(Span(0, len(data.texts[row])), data.texts[row], stems[row], {})],
                average,
            )
        ]
        near = [(*KEY, str(row), 1, 0, HalfVector(data.vectors[row])) for row in rows]
        async with database.transaction() as connection:
            await connection.executemany(
                "insert into documents (tenant, collection, id, version, sha256, title, text,"
                " metadata, language, status, chunks, embedded_by)"
                " values ($1, $2, $3, 1, $4, '', $5, $6, 'en', 'ready', 1, $7)",
                documents,
            )
            await connection.executemany(CHUNKS, chunks)
            await connection.executemany(
                f"insert into {space.vectors.table} values ($1, $2, $3, $4, $5, $6)",  # noqa: S608 - a number's table
                near,
            )
    counts = Counter(stem for found in stems for stem in set(found))
    async with database.transaction() as connection:
        await connection.execute(
            "insert into terms select $1, $2, * from unnest($3::text[], $4::integer[])",
            *(*KEY, list(counts), list(counts.values())),
        )
        await connection.execute(
            "update collections set chunks = $3, stems = $4 where tenant = $1 and name = $2",
            *(*KEY, len(stems), sum(map(len, stems))),
        )
    async with database.connection() as connection:
        await connection.execute("analyze")
    return time.perf_counter() - started


def _columns(data: Data, space: Space, row: int) -> tuple[dict[str, int], list[int]]:
    return {"tag": int(data.tags[row])}, [space.vectors.number]


async def ingest_rate(database: Database, spaces: Spaces, data: Data) -> float:
    """Return documents per second on the durable way: text, job, commit, chunk, commit."""
    store, key = Store(database), ("bench", "ingested")
    await store.create(key, "", Chunking(mode="document"))
    ingest = Ingest(
        Jobs(database), spaces, max_words=10_000, lease_seconds=60, metrics=Metrics("bench")
    )
    documents = [
        NewDocument(id=str(row), text=data.texts[row], language="en") for row in range(INGESTED)
    ]
    started = time.perf_counter()
    async with ingest.running():
        await store.add(key, documents)
        ingest.wake()
        while (await store.collection(key)).waiting:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.02)
    return INGESTED / (time.perf_counter() - started)


async def run(data: Data, folder: Path) -> dict[str, Any]:
    """Load, measure, start again."""
    known: Any = Known(data)
    result: dict[str, Any] = {}
    async with postgres.running(folder) as url, opened(url, connections=4) as database:
        found = await vectors.registered(database, "bench", None, data.vectors.shape[1])
        space = Space(found, known)
        await Store(database).create(KEY, "")
        result["load_seconds"] = round(await load(database, space, data), 1)
        result["ingest_per_second"] = round(await ingest_rate(database, Spaces(space), data), 1)
        result |= await measure(database, Spaces(space), data)
        result["memory_mb"] = common.memory_mb()
        result["server_memory_mb"] = _server_memory_mb()
    started = time.perf_counter()
    async with postgres.running(folder) as url, opened(url, connections=4) as database:
        retrieval = Retrieval(database, Spaces(space), dense_weights={})
        await retrieval.search(KEY, data.questions[0], k=K)
        result["cold_start_seconds"] = round(time.perf_counter() - started, 2)
    return result


async def measure(database: Database, spaces: Spaces, data: Data) -> dict[str, Any]:
    """Put the questions in every way; asyncio's own loop runs the whole of it."""
    loaded = await asyncio.to_thread(ranker.load, Settings())

    async def ranker_of(_: Key) -> Any:
        return loaded

    weights = Settings().dense_weights
    retrieval = Retrieval(database, spaces, dense_weights=weights, ranker_of=ranker_of)
    ways = {
        "dense": Wish(K, "dense"),
        "filtered": Wish(K, "dense", {"tag": data.tag}),
        "keyword": Wish(K, "keyword"),
        "hybrid": Wish(K, rerank=False),
        "ranked": Wish(K),
    }
    result: dict[str, Any] = {}
    for name, wish in ways.items():
        times, found = await _timed(retrieval, data, wish)
        tagged = np.flatnonzero(data.tags == data.tag)
        rows = tagged if name == "filtered" else np.arange(len(data.vectors))
        quality = (
            {"recall_at_10": common.recall(found, data.exact(rows))}
            if name in ("dense", "filtered")
            else {"hit_at_10": common.hits(data, found)}
        )
        result[name] = {**times, **quality}
    return result


async def _timed(
    retrieval: Retrieval, data: Data, wish: Wish
) -> tuple[dict[str, float], list[list[int]]]:
    best = [float("inf")] * len(data.questions)
    found: list[list[int]] = []
    for _ in range(common.PASSES):
        found = []
        for at, question in enumerate(data.questions):
            started = time.perf_counter()
            places = await retrieval.found(KEY, question, wish)
            best[at] = min(best[at], (time.perf_counter() - started) * 1000)
            found.append([int(one.passage.document_id) for one in places])
    p50, p99 = np.percentile(best, [50, 99])
    return {"p50_ms": round(float(p50), 2), "p99_ms": round(float(p99), 2)}, found


def _server_memory_mb() -> int:
    """Return what the database's processes hold for themselves and their share of what they share."""
    return sum(_share_kb(pid) for pid in _children(os.getpid())) // 1024


def _children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")  # of every thread
    listed = [child for one in lists for child in one.read_text(encoding="utf-8").split()]
    return [one for child in map(int, listed) for one in (child, *_children(child))]


def _share_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def main() -> None:
    """Run and print."""
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=quiet)
    data, folder = common.arguments()
    common.say(asyncio.run(run(data, folder)))


if __name__ == "__main__":
    main()
