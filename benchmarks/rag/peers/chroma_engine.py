"""Chroma: HNSW in process; its embedded form has no ranked keyword search."""

import time
from typing import Any

import chromadb
import common
import numpy as np
from common import AT_ONCE, K


def main() -> None:
    """Fill, measure, open again."""
    data, folder = common.arguments()
    client = chromadb.PersistentClient(str(folder))
    chunks = client.create_collection(
        "chunks", configuration={"hnsw": {"space": "cosine", "ef_search": 100}}
    )
    started = time.perf_counter()
    for start in range(0, len(data.texts), AT_ONCE):
        rows = range(start, min(start + AT_ONCE, len(data.texts)))
        chunks.add(
            ids=[str(row) for row in rows],
            embeddings=data.vectors[rows.start : rows.stop],
            documents=data.texts[rows.start : rows.stop],
            metadatas=[{"tag": int(data.tags[row])} for row in rows],
        )
    rate = len(data.texts) / (time.perf_counter() - started)

    def near(vector: np.ndarray, where: Any = None) -> list[int]:
        found = chunks.query(
            query_embeddings=[vector], n_results=K, where=where, include=["documents"]
        )
        return [int(one) for one in found["ids"][0]]

    result = common.measured(
        data,
        dense=lambda vector, _: near(vector),
        filtered=lambda vector, _: near(vector, {"tag": data.tag}),
        keyword=None,
        hybrid=None,
    )
    common.say(
        {
            "ingest_per_second": round(rate, 1),
            **result,
            "memory_mb": common.memory_mb(),
        }
    )


if __name__ == "__main__":
    main()
