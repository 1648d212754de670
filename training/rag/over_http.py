"""Every eleventh pair of MedQuAD through the running service: HTTP in, HTTP out.

    python -m training.rag.over_http --data DIR --work FOLDER

The service runs on a port of this machine with its own PostgreSQL. Vectors come from FOLDER where
they are known; with `--fresh` everything is embedded, and the rate of ingestion is compared with
that of the bare embedder on the same chunks.
"""

import argparse
import logging
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import structlog
import uvicorn
from fastapi import FastAPI

from benchmarks.setting import record
from services.rag import chunking, model
from services.rag.app import create_app
from services.rag.model import Embedder
from services.rag.schemas import NewDocument
from services.rag.settings import Settings
from training.rag import corpora
from training.rag.corpora import Question
from training.rag.vectors import Remembering

OUT = Path("training/rag/over_http.json")
FOUND = 30  # chunks, of which the first ten documents count
AT_ONCE = 50
START_SECONDS = 120


@contextmanager
def on_a_port(app: FastAPI) -> Iterator[httpx2.Client]:
    """Serve in a thread of its own and yield a client."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        give_up = time.monotonic() + START_SECONDS
        while not server.started and time.monotonic() < give_up:
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            while client.get("/readyz").status_code != 200 and time.monotonic() < give_up:
                time.sleep(0.1)
            yield client
    finally:
        server.should_exit = True
        thread.join()


def fill(client: httpx2.Client, documents: list[NewDocument]) -> float:
    """Send the documents, wait until all can be found, and return the seconds."""
    client.put("/v1/collections/medquad").raise_for_status()
    started = time.perf_counter()
    for start in range(0, len(documents), AT_ONCE):
        rows = [
            one.model_dump(include={"id", "title", "text"})
            for one in documents[start : start + AT_ONCE]
        ]
        answer = client.post("/v1/collections/medquad/documents", json={"documents": rows})
        answer.raise_for_status()
    while client.get("/v1/collections/medquad").json()["waiting"]:
        time.sleep(0.2)
    return time.perf_counter() - started


def ranks(client: httpx2.Client, questions: list[Question]) -> list[int]:
    """Return the place of each question's document, 0 for none."""
    found = []
    for question in questions:
        body = {"query": question.text, "k": FOUND}
        answer = client.post("/v1/collections/medquad/search", json=body).raise_for_status()
        order = list(dict.fromkeys(one["document_id"] for one in answer.json()["results"]))
        (right,) = question.relevance
        found.append(order.index(right) + 1 if right in order else 0)
    return found


def recalls(found: list[int]) -> dict[str, float]:
    """Return the share of questions whose document is among the first ones."""
    shares = {
        f"recall_at_{k}": round(sum(0 < rank <= k for rank in found) / len(found), 4)
        for k in (1, 5, 10)
    }
    return {"questions": len(found), **shares}


def bare_seconds(embedder: Embedder, documents: list[NewDocument]) -> float:
    """Embed the same chunks without a service and return the seconds."""
    texts = [
        f"{one.title}\n{one.text[span.start : span.end]}".strip()
        for one in documents
        for span in chunking.chunks(one.text, Settings().chunk_words)
    ]
    started = time.perf_counter()
    for start in range(0, len(texts), 8):
        embedder.embed(texts[start : start + 8])
    return time.perf_counter() - started


def main() -> None:
    """Measure and write the results with machine and commit."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--fresh", action="store_true")
    arguments.add_argument("--documents", type=int, default=100_000)
    arguments.add_argument("--out", type=Path, default=OUT)
    given = arguments.parse_args()
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=quiet)
    corpus = corpora.medquad(given.data, corpora.EVERY)
    documents = corpus.documents[: given.documents]
    questions = corpus.questions[: given.documents]
    embedder: Any = None if given.fresh else Remembering(given.work / "vectors.sqlite")
    with tempfile.TemporaryDirectory(prefix="rag-") as name:
        Path(name).chmod(0o711)  # as root, PostgreSQL runs as another user
        app = create_app(Settings(data_dir=Path(name) / "data"), embedder)
        with on_a_port(app) as client:
            seconds = fill(client, documents)
            found = ranks(client, questions)
    kept = [rank for rank, one in zip(found, questions, strict=True) if one.is_test]
    results: dict[str, Any] = {
        "documents": len(documents),
        "ingest_seconds": round(seconds, 1),
        "all": recalls(found),
        "kept_from_training": recalls(kept),
    }
    if given.fresh:
        results["bare_embedding_seconds"] = round(
            bare_seconds(model.load(Settings()), documents), 1
        )
    print(results)
    record(given.out, results, fresh=given.fresh)


if __name__ == "__main__":
    main()
