"""Milvus Lite: HNSW and its BM25 function, in process."""

import time
from typing import Any

import common
import numpy as np
from common import AT_ONCE, DEPTH, K
from pymilvus import DataType, Function, FunctionType, MilvusClient

EF = 100


def main() -> None:
    """Fill, measure, open again."""
    data, folder = common.arguments()
    folder.mkdir(parents=True)
    file = str(folder / "chunks.db")
    client = MilvusClient(file)
    client.create_collection(
        "chunks", schema=schema(data.vectors.shape[1]), index_params=indexes(client)
    )
    started = time.perf_counter()
    for start in range(0, len(data.texts), AT_ONCE):
        rows = [
            {
                "id": row,
                "dense": data.vectors[row].tolist(),
                "text": data.texts[row],
                "tag": int(data.tags[row]),
            }
            for row in range(start, min(start + AT_ONCE, len(data.texts)))
        ]
        client.insert("chunks", rows)
    rate = len(data.texts) / (time.perf_counter() - started)
    started = time.perf_counter()
    client.flush("chunks")
    client.load_collection("chunks")
    build = time.perf_counter() - started

    def near(vector: np.ndarray, limit: int, where: str = "", *, full: bool = True) -> list[int]:
        found = client.search(
            "chunks",
            data=[vector.tolist()],
            anns_field="dense",
            limit=limit,
            filter=where,
            search_params={"metric_type": "COSINE", "params": {"ef": EF}},
            output_fields=["text"] if full else [],
        )
        return [hit["id"] for hit in found[0]]

    def keyword(question: str, limit: int, *, full: bool = True) -> list[int]:
        found = client.search(
            "chunks",
            data=[question],
            anns_field="words",
            limit=limit,
            search_params={"metric_type": "BM25"},
            output_fields=["text"] if full else [],
        )
        return [hit["id"] for hit in found[0]]

    def hybrid(vector: np.ndarray, question: str) -> list[int]:
        legs = near(vector, DEPTH, full=False), keyword(question, DEPTH, full=False)
        best = common.fused(*legs)
        client.get("chunks", ids=best, output_fields=["text"])
        return best

    result = common.measured(
        data,
        dense=lambda vector, _: near(vector, K),
        filtered=lambda vector, _: near(vector, K, f"tag == {data.tag}"),
        keyword=lambda _, question: keyword(question, K),
        hybrid=hybrid,
    )
    client.close()
    started = time.perf_counter()
    again = MilvusClient(file)
    again.load_collection("chunks")
    again.search("chunks", data=[data.queries[0].tolist()], anns_field="dense", limit=K)
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


def schema(dimensions: int) -> Any:
    """Return the fields."""
    made = MilvusClient.create_schema()
    made.add_field("id", DataType.INT64, is_primary=True)
    made.add_field("dense", DataType.FLOAT_VECTOR, dim=dimensions)
    made.add_field("text", DataType.VARCHAR, max_length=65_535, enable_analyzer=True)
    made.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
    made.add_field("tag", DataType.INT64)
    made.add_function(
        Function(
            name="words",
            input_field_names=["text"],
            output_field_names=["words"],
            function_type=FunctionType.BM25,
        )
    )
    return made


def indexes(client: MilvusClient) -> Any:
    """Return the indexes."""
    made = client.prepare_index_params()
    made.add_index(
        "dense",
        index_type="HNSW",
        metric_type="COSINE",
        params={"M": 16, "efConstruction": 64},
    )
    made.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    return made


if __name__ == "__main__":
    main()
