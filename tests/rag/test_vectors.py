"""A search by meaning finds the nearest, whichever way the planner chooses."""

from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest
from pgvector import HalfVector

from services.rag import vectors
from services.rag.database import Connection, DatabaseUnfit, opened
from services.rag.filters import Filter
from services.rag.planner import LARGE_ROWS, SMALL_ROWS, most_exact
from services.rag.vectors import Vectors

DIMENSIONS = 32
TENANTS = {"small": 60, "tenth": 600, "large": 5340}
LIMIT = 50
Filled = tuple[Connection, Vectors, dict[str, Any]]

PLANS = [
    (1, 1, True),
    (SMALL_ROWS, SMALL_ROWS, True),
    (16_000, 16_000, False),  # all that the index holds
    (2_000, 200_000, True),  # 1 %
    (10_000, 200_000, True),  # 5 %
    (20_000, 200_000, False),  # 10 %
    (100_000, 10_000_000, True),
    (LARGE_ROWS + 1, 100_000_000, False),
]


@pytest.mark.parametrize(("eligible", "total", "expected"), PLANS)
def test_few_vectors_or_a_small_share_are_read_whole(eligible, total, expected):
    assert (eligible <= most_exact(total)) is expected


@pytest.fixture(scope="module")
async def filled(database_url: str) -> AsyncGenerator[Filled]:
    """Store three tenants' vectors in one table, a document each, and return them as well."""
    random = np.random.default_rng(3)
    async with opened(database_url, connections=2) as database:
        table = await vectors.registered(database, "planned@1", None, DIMENSIONS)
        known = {}
        async with database.connection() as connection:
            for tenant, rows in TENANTS.items():
                drawn = random.standard_normal((rows, DIMENSIONS)).astype(np.float32)
                known[tenant] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
                await _store(connection, table, f"plan-{tenant}", known[tenant])
            await connection.execute(f"analyze {table.table}")
            yield connection, table, known
            await connection.execute("delete from collections where tenant like 'plan-%'")
            await connection.execute("select drop_embedder('planned@1')")


async def _store(connection: Connection, table: Vectors, tenant: str, rows: Any) -> None:
    names = [f"d{number}" for number in range(len(rows))]
    await connection.execute(
        "insert into collections (tenant, name, description, chunks) values ($1, 'docs', '', $2)",
        *(tenant, len(rows)),
    )
    await connection.execute(
        "insert into documents (tenant, collection, id, version, sha256, title, text, metadata,"
        " status, chunks, embedded_by) select $1, 'docs', one, 1, ''::bytea, '', one,"
        " jsonb_build_object('half', n % 2, 'rare', n % 100), 'ready', 1, array[$3::integer]"
        " from unnest($2::text[]) with ordinality as t (one, n)",
        *(tenant, names, table.number),
    )
    await connection.execute(
        'insert into chunks (tenant, collection, document, version, position, start, "end", text,'
        " stems, words, weights) select $1, 'docs', one, 1, 0, 0, 1, one, 0,"
        " array_to_tsvector('{}'), '{}/1000000000' from unnest($2::text[]) as one",
        *(tenant, names),
    )
    made = [(tenant, "docs", *one) for one in zip(names, rows, strict=True)]
    await connection.executemany(
        f"insert into {table.table} values ($1, $2, $3, 1, 0, $4)",
        [(*one[:3], HalfVector(one[3])) for one in made],
    )


def _is_kept(number: int, where: Filter) -> bool:
    remainders = {"half": number % 2, "rare": number % 100}
    return all(
        remainders[key] in (value if isinstance(value, list) else [value])
        for key, value in (where or {}).items()
    )


def _truth(rows: Any, query: Any, kept: Any) -> set[str]:
    near = sorted(kept, key=lambda place: -float(rows[place] @ query))[:10]
    return {f"d{place}" for place in near}


@pytest.mark.parametrize("tenant", TENANTS)
@pytest.mark.parametrize(
    "where", [None, {"half": 1}, {"half": [0, 1]}, {"rare": 7}, {"rare": list(range(20))}]
)
async def test_the_nearest_are_found_for_any_tenant_and_filter(filled, tenant, where):
    connection, table, known = filled
    rows, hits, wanted = known[tenant], 0, 0
    kept = [place for place in range(len(rows)) if _is_kept(place + 1, where)]
    for query in rows[:20]:
        found = await table.nearest(connection, (f"plan-{tenant}", "docs"), query, where, LIMIT)
        best = _truth(rows, query, kept)
        hits += len(best & {row["document"] for row in found[:10]})
        wanted += len(best)
        assert len(found) == min(LIMIT, len(kept))
    assert hits >= 0.95 * wanted


async def test_the_walk_alone_would_miss_most_of_a_small_tenant(filled):
    """The trap that the planner avoids; should this fail one day, it may be simpler."""
    connection, table, known = filled
    async with connection.transaction():
        await connection.execute("set local hnsw.iterative_scan = off")
        await connection.execute("set local enable_sort = off")
        rows = await connection.fetch(
            f"select document from {table.table} where tenant = 'plan-small'"
            " order by embedding <=> $1 limit 50",
            HalfVector(known["large"][0]),
        )
    assert len(rows) < 25


async def test_a_walk_leaves_no_settings_behind(filled):
    connection, table, known = filled
    query = HalfVector(known["large"][0])
    async with connection.transaction():
        await table.walked(connection, ("plan-large", "docs"), query, None, LIMIT)
        assert await connection.fetchval("select current_setting('enable_sort')") == "on"


async def test_the_walk_uses_the_index_and_the_exact_search_does_not(filled):
    connection, table, known = filled
    plans = []
    for query in (vectors.WALKED, vectors.EXACT_ALL):
        async with connection.transaction():
            await connection.execute("set local enable_sort = off")
            text = query.format(table=table.table, kept="" if "near" in query else "true")
            lines = await connection.fetch(
                f"explain {text}", "plan-large", "docs", HalfVector(known["large"][0]), LIMIT
            )
            plans.append("\n".join(line[0] for line in lines))
    assert f"{table.table}_near" in plans[0]
    assert f"{table.table}_near" not in plans[1]


@pytest.mark.usefixtures("filled")
async def test_an_embedder_that_changed_its_length_under_its_name_is_refused(database_url):
    async with opened(database_url, connections=1) as database:
        with pytest.raises(DatabaseUnfit, match="32 numbers before"):
            await vectors.registered(database, "planned@1", None, DIMENSIONS + 1)
