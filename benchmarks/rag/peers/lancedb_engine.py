"""LanceDB: IVF_HNSW_SQ and its own full text index, in process."""

import time
from typing import Any

import common
import lancedb
import numpy as np
from common import AT_ONCE, DEPTH, K

BATCHES = 8  # of AT_ONCE in one add: LanceDB makes a version of the table of each


def main() -> None:
    """Fill, measure, open again."""
    data, folder = common.arguments()
    database = lancedb.connect(str(folder))
    step = AT_ONCE * BATCHES
    started = time.perf_counter()
    table: Any = None
    for start in range(0, len(data.texts), step):
        rows = [
            {
                "id": row,
                "vector": data.vectors[row],
                "text": data.texts[row],
                "tag": int(data.tags[row]),
            }
            for row in range(start, min(start + step, len(data.texts)))
        ]
        if table is None:
            table = database.create_table("chunks", rows)
        else:
            table.add(rows)
    rate = len(data.texts) / (time.perf_counter() - started)
    started = time.perf_counter()
    table.create_index(
        metric="cosine", index_type="IVF_HNSW_SQ", num_partitions=1, vector_column_name="vector"
    )
    table.create_fts_index("text", language="English", stem=True, remove_stop_words=True)
    table.create_scalar_index("tag")
    table.optimize()
    build = time.perf_counter() - started

    def near(
        vector: np.ndarray, limit: int, where: str | None = None, columns: Any = ("id", "text")
    ) -> list[int]:
        search = table.search(vector).distance_type("cosine").limit(limit).select(list(columns))
        if where:
            search = search.where(where, prefilter=True)
        return [row["id"] for row in search.to_list()]

    def keyword(question: str, limit: int, columns: Any = ("id", "text")) -> list[int]:
        search = table.search(question, query_type="fts").limit(limit).select(list(columns))
        return [row["id"] for row in search.to_list()]

    def hybrid(vector: np.ndarray, question: str) -> list[int]:
        legs = near(vector, DEPTH, columns=["id"]), keyword(question, DEPTH, columns=["id"])
        best = common.fused(*legs)
        wanted = ", ".join(map(str, best))
        table.search().where(f"id in ({wanted})").select(["id", "text"]).limit(K).to_list()
        return best

    table.create_scalar_index("id")
    result = common.measured(
        data,
        dense=lambda vector, _: near(vector, K),
        filtered=lambda vector, _: near(vector, K, f"tag = {data.tag}"),
        keyword=lambda _, question: keyword(question, K),
        hybrid=hybrid,
    )
    started = time.perf_counter()
    again = lancedb.connect(str(folder)).open_table("chunks")
    again.search(data.queries[0]).limit(K).to_list()
    cold = time.perf_counter() - started
    common.say(
        {
            "ingest_per_second": round(rate, 1),
            "build_seconds": round(build, 1),
            **result,
            "memory_mb": common.memory_mb(),
            "cold_start_seconds": round(cold, 2),
        }
    )


if __name__ == "__main__":
    main()
