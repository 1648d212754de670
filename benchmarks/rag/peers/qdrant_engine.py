"""Qdrant Edge: HNSW and BM25 as sparse vectors, in process."""

import time

import common
import numpy as np
from common import AT_ONCE, DEPTH, Data, K
from qdrant_edge import (
    Bm25,
    Bm25Config,
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    FieldCondition,
    Filter,
    MatchValue,
    Modifier,
    PayloadSchemaType,
    Point,
    Query,
    QueryRequest,
    UpdateOperation,
)


def main() -> None:
    """Fill, measure, open again."""
    data, folder = common.arguments()
    folder.mkdir(parents=True)
    config = EdgeConfig(
        vectors={"dense": EdgeVectorParams(data.vectors.shape[1], Distance.Cosine)},
        sparse_vectors={"words": EdgeSparseVectorParams(modifier=Modifier.Idf)},
    )
    shard = EdgeShard.create(str(folder), config)
    words = Bm25(Bm25Config(language="english"))
    started = time.perf_counter()
    for start in range(0, len(data.texts), AT_ONCE):
        rows = range(start, min(start + AT_ONCE, len(data.texts)))
        points = [point(data, words, row) for row in rows]
        shard.update(UpdateOperation.upsert_points(points))
        shard.flush()  # else an acknowledged batch may be lost
    rate = len(data.texts) / (time.perf_counter() - started)
    started = time.perf_counter()
    shard.update(UpdateOperation.create_field_index("tag", PayloadSchemaType.Integer))
    shard.optimize()
    shard.flush()
    build = time.perf_counter() - started
    only = Filter(must=[FieldCondition("tag", match=MatchValue(data.tag))])

    def near(vector: np.ndarray, limit: int, where: Filter | None, *, full: bool) -> list[int]:
        query = Query.Nearest(vector.tolist(), using="dense")
        return ids(shard, QueryRequest(limit, query=query, filter=where, with_payload=full))

    def keyword(question: str, limit: int, *, full: bool) -> list[int]:
        query = Query.Nearest(words.embed_query(question), using="words")
        return ids(shard, QueryRequest(limit, query=query, with_payload=full))

    def hybrid(vector: np.ndarray, question: str) -> list[int]:
        best = common.fused(
            near(vector, DEPTH, None, full=False), keyword(question, DEPTH, full=False)
        )
        shard.retrieve(best, with_payload=True, with_vector=False)
        return best

    result = common.measured(
        data,
        dense=lambda vector, _: near(vector, K, None, full=True),
        filtered=lambda vector, _: near(vector, K, only, full=True),
        keyword=lambda _, question: keyword(question, K, full=True),
        hybrid=hybrid,
    )
    shard.close()
    started = time.perf_counter()
    again = EdgeShard.load(str(folder))
    ids(again, QueryRequest(K, query=Query.Nearest(data.queries[0].tolist(), using="dense")))
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


def point(data: Data, words: Bm25, row: int) -> Point:
    """Return a chunk."""
    vector = {"dense": data.vectors[row].tolist(), "words": words.embed_document(data.texts[row])}
    return Point(row, vector, {"tag": int(data.tags[row]), "text": data.texts[row]})


def ids(shard: EdgeShard, request: QueryRequest) -> list[int]:
    """Return what a request finds."""
    return [int(point.id) for point in shard.query(request)]


if __name__ == "__main__":
    main()
