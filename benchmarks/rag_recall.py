"""Does a search by meaning find the nearest, whatever tenant and filter? 200,000 clustered vectors.

    python -m benchmarks.rag_recall [--out FILE]

Fills the service's own tables, asks through its own code, and compares with a search of all vectors
by numpy: for tenants of different shares, for filters of one large tenant, and for each way of
searching by itself, which is how the planner's limits were chosen.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector

from benchmarks.setting import RESULTS, record
from services.rag import postgres, vectors
from services.rag.database import Connection, Database, Row, opened
from services.rag.vectors import Vectors

DIMENSIONS = 384
CLUSTERS = 2000
NOISE = 0.7  # beside a centre's length of 1: neighbours are near and not alike
DEPTH = 100  # as the service asks
K = 10
QUERIES = {"service": 100, "exact": 100, "walked": 20}  # some walks take most of a second
SHARES = {"t0.1": 0.001, "t0.7": 0.007, "t1": 0.01, "t5": 0.05, "t10": 0.1, "t20": 0.2}
LARGE = "large"  # the tenant with the rest
BUCKETS = 1000  # even parts; a document's metadata hold its remainders by these numbers:
FILTERS = {"0.1 %": 1000, "1 %": 100, "5 %": 20, "20 %": 5, "50 %": 2}

Matrix = NDArray[np.float32]
Search = Callable[[Connection, HalfVector], Awaitable[list[Row]]]


@dataclass(frozen=True)
class Data:
    """Vectors with their tenants and buckets, and questions."""

    vectors: Matrix
    tenants: NDArray[np.str_]
    buckets: NDArray[np.int64]
    queries: Matrix


def made(rows: int) -> Data:
    """Draw vectors around centres; tenants and buckets are spread over all clusters."""
    random = np.random.default_rng(7)
    centres = _unit(random.standard_normal((CLUSTERS, DIMENSIONS), dtype=np.float32))
    around = random.integers(CLUSTERS, size=rows + 100)
    noise = random.standard_normal((rows + 100, DIMENSIONS), dtype=np.float32)
    drawn = _unit(centres[around] + NOISE / DIMENSIONS**0.5 * noise)
    names, shares = [*SHARES, LARGE], [*SHARES.values(), 1 - sum(SHARES.values())]
    tenants = random.choice(names, size=rows, p=shares)
    buckets = random.integers(BUCKETS, size=rows)
    halved = drawn[:rows].astype(np.float16).astype(np.float32)  # as they are stored
    return Data(halved, tenants, buckets, drawn[rows:])


async def fill(database: Database, data: Data) -> tuple[Vectors, dict[str, float]]:
    """Store everything as the service would; return the table and the seconds it took."""
    seconds = {}
    table = await vectors.registered(database, "bench@1", None, DIMENSIONS)
    async with database.connection() as connection:
        await connection.execute(f"drop index {table.table}_near")
        started = time.perf_counter()
        await connection.execute("set maintenance_work_mem = '1GB'")
        rows = [
            (str(tenant), f"d{number}", int(bucket))
            for number, (tenant, bucket) in enumerate(zip(data.tenants, data.buckets, strict=True))
        ]
        await connection.execute("create temporary table given (tenant text, id text, bucket int)")
        await connection.copy_records_to_table("given", records=rows)
        await connection.execute(FILL)
        seconds["documents"] = round(time.perf_counter() - started, 1)
        started = time.perf_counter()
        for start in range(0, len(rows), 10_000):
            batch = [
                (tenant, "docs", name, 1, 0, HalfVector(vector))
                for (tenant, name, _), vector in zip(
                    rows[start : start + 10_000], data.vectors[start : start + 10_000], strict=True
                )
            ]
            await connection.copy_records_to_table(table.table, records=batch)
        seconds["vectors"] = round(time.perf_counter() - started, 1)
        started = time.perf_counter()
        await connection.execute(
            "select index_vectors($1, $2)", table.number, DIMENSIONS, timeout=3600
        )
        seconds["index"] = round(time.perf_counter() - started, 1)
        await connection.execute(f"vacuum analyze {table.table}", timeout=600)
        await connection.execute("vacuum analyze documents", timeout=600)
    return table, seconds


FILL = """
insert into collections (tenant, name, description, chunks)
    select tenant, 'docs', '', count(*) from given group by tenant;
insert into documents
    (tenant, collection, id, version, sha256, title, text, metadata, status, chunks)
    select tenant, 'docs', id, 1, ''::bytea, '', id, jsonb_build_object(
        'by_1000', bucket % 1000, 'by_100', bucket % 100, 'by_20', bucket % 20,
        'by_5', bucket % 5, 'by_2', bucket % 2), 'ready', 1
    from given;
insert into chunks (tenant, collection, document, version, position, start, "end", text, stems,
    words, weights)
    select tenant, 'docs', id, 1, 0, 0, 1, id, 0, array_to_tsvector('{}'), '{}/1000000000'
    from given;
"""


async def measure(
    database: Database, data: Data, mask: NDArray[np.bool_], search: Search, queries: int
) -> dict[str, Any]:
    """Return recall and times of one way of searching, asked once to warm up."""
    places = np.flatnonzero(mask)
    asked = data.queries[:queries]
    truth = np.argsort(-(asked @ data.vectors[places].T), axis=1)[:, :K]
    hits, wanted = 0, 0
    millis: list[float] = []
    async with database.connection() as connection:
        for query, best in zip(asked, truth, strict=True):
            half = HalfVector(query)
            await search(connection, half)
            started = time.perf_counter()
            found = await search(connection, half)
            millis.append((time.perf_counter() - started) * 1000)
            names = {f"d{places[place]}" for place in best}
            hits += len(names & {row["document"] for row in found[:K]})
            wanted += len(names)
    return {
        "eligible": len(places),
        "recall_at_10": round(hits / wanted, 4),
        "p50_ms": round(statistics.median(millis), 2),
        "p99_ms": round(sorted(millis)[int(0.99 * len(millis))], 2),
    }


def ways(table: Vectors, tenant: str, where: dict[str, Any] | None) -> dict[str, Search]:
    """Return the service's search and the two that it chooses from."""
    key = (tenant, "docs")
    return {
        "service": lambda c, v: table.nearest(c, key, v.to_numpy().astype("f4"), where, DEPTH),
        "exact": lambda c, v: table.exact(c, key, v, where, DEPTH),
        "walked": lambda c, v: table.walked(c, key, v, where, DEPTH),
    }


async def run(folder: Path, rows: int) -> dict[str, Any]:
    """Fill a database of its own and measure everything."""
    data = made(rows)
    results: dict[str, Any] = {"vectors": rows, "dimensions": DIMENSIONS}
    async with postgres.running(folder) as url, opened(url, connections=2) as database:
        table, results["fill_seconds"] = await fill(database, data)
        cases: list[tuple[str, str, int | None]] = [(f"tenant {one}", one, None) for one in SHARES]
        cases += [("large tenant", LARGE, None)]
        cases += [(f"filter {name} of large tenant", LARGE, n) for name, n in FILTERS.items()]
        for label, tenant, divisor in cases:
            where = None if divisor is None else {f"by_{divisor}": 0}
            mask = data.tenants == tenant
            if divisor is not None:
                mask &= data.buckets % divisor == 0
            results[label] = {
                name: await measure(database, data, mask, search, QUERIES[name])
                for name, search in ways(table, tenant, where).items()
            }
            print(label, results[label])
    return results


def _unit(rows: Matrix) -> Matrix:
    scaled: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return scaled


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--out", type=Path, default=RESULTS / "rag_recall.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recall-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, PostgreSQL runs as another user
        results = asyncio.run(run(folder / "data", given.rows))
    record(given.out, results)


if __name__ == "__main__":
    main()
