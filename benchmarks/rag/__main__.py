"""Search speed beside Qdrant, LanceDB, Milvus Lite and Chroma, on the same vectors and texts.

    python -m benchmarks.rag --data DIR --work FOLDER [--chunks 16000] [--engines NAME ...]

The chunks are those of MedQuAD, the questions its own; beyond its 33,000 chunks, vectors are varied
and texts repeated. FOLDER keeps the vectors and each peer's environment (`peers/*.txt`, from PyPI).
Every engine runs alone, one after the other, in process; questions come with their vectors.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.setting import RESULTS, record
from local.stack import ROOT
from training.rag import corpora
from training.rag.shelf import Shelf
from training.rag.vectors import Remembering

PEERS = Path(__file__).parent / "peers"
ENGINES = ("switchboard", "qdrant", "lancedb", "milvus", "chroma")
QUESTIONS = 300
TAGS = 20  # a filter keeps one chunk in so many
NOISE = 0.02  # per dimension, of vectors beyond the real ones
SEED = 5
LIMIT_SECONDS = 3600


def prepare(data: Path, work: Path, chunks: int) -> Path:
    """Write what all engines read, once."""
    folder = work / f"data-{chunks}"
    if (folder / "texts.json").exists():
        return folder
    corpus = corpora.medquad(data)
    shelf = Shelf(corpus.documents, Remembering(work / "vectors.sqlite"))
    order = np.random.default_rng(SEED).permutation(len(shelf.pieces))
    rows = np.resize(order, chunks)
    generator = np.random.default_rng(SEED)
    found = shelf.vectors[rows]
    copies = np.arange(chunks) >= len(order)
    found[copies] += generator.normal(0, NOISE, found[copies].shape).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    places: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        places.setdefault(shelf.pieces[row].place[0], []).append(at)
    asked = [one for one in corpus.questions if next(iter(one.relevance)) in places]
    asked = random.Random(SEED).sample(asked, min(QUESTIONS, len(asked)))
    queries = np.stack([shelf.embedder.embed([one.text])[0] for one in asked])
    folder.mkdir(parents=True, exist_ok=True)
    tags = generator.integers(0, TAGS, chunks)
    np.savez(folder / "data.npz", vectors=found, tags=tags, queries=queries)
    # A number in front keeps equal texts apart.
    texts = [
        f"{shelf.pieces[row].title}\n{shelf.pieces[row].text}".strip() for row in rows.tolist()
    ]
    about = {
        "texts": [text if at < len(order) else f"{text} {at}" for at, text in enumerate(texts)],
        "questions": [one.text for one in asked],
        "right": [places[next(iter(one.relevance))] for one in asked],
        "tag": 3,
    }
    (folder / "texts.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def command(engine: str, work: Path) -> list[str]:
    """Return what runs an engine, after making its environment."""
    if engine == "switchboard":
        return [sys.executable, "-m", "benchmarks.rag.own"]
    python = work / "peers" / engine / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)  # noqa: S603
        listed = str(PEERS / f"{engine}.txt")
        subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", listed], check=True)  # noqa: S603
    return [str(python), str(PEERS / f"{engine}_engine.py")]


def run(engine: str, work: Path, data: Path) -> dict[str, Any]:
    """Run one engine in a process of its own and return what it printed last."""
    folder = work / "stores" / engine
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.parent.chmod(0o711)  # as root, PostgreSQL runs as another user
    work.chmod(0o711)
    loads = os.getloadavg()[0]
    started = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - fixed commands
        [*command(engine, work), str(data), str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if done.returncode:
        return {"failed": done.stderr[-2000:]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {
        **result,
        "disk_mb": size // 2**20,
        "seconds": round(time.perf_counter() - started),
        "load_average": [round(loads, 1), round(os.getloadavg()[0], 1)],
    }


def main() -> None:
    """Measure, print, and write the results with machine and commit."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--chunks", type=int, default=16_000)
    arguments.add_argument("--engines", nargs="*", default=list(ENGINES))
    arguments.add_argument("--out", type=Path)
    given = arguments.parse_args()
    folder = prepare(given.data, given.work, given.chunks)
    results = {}
    for engine in given.engines:
        results[engine] = run(engine, given.work, folder)
        print(engine, json.dumps(results[engine]), flush=True)
    peers = [
        row["hybrid"]["p50_ms"]
        for name, row in results.items()
        if name != "switchboard" and "hybrid" in row
    ]
    own = results.get("switchboard", {})
    ratio = round(own["hybrid"]["p50_ms"] / min(peers), 2) if peers and "hybrid" in own else None
    out = given.out or RESULTS / f"rag-{given.chunks}.json"
    record(out, results, chunks=given.chunks, questions=QUESTIONS, hybrid_to_fastest_peer=ratio)


if __name__ == "__main__":
    main()
