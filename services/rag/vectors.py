"""The table of one embedder's vectors, and the search for the nearest of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector

from services.rag import planner
from services.rag.database import MIGRATION_LOCK, Connection, Database, DatabaseUnfit, Row
from services.rag.filters import Filter, condition

ROWS_PER_STATEMENT = 64  # encoding more at once would hold up the event loop
INDEXED_DIMENSIONS = 4000  # the most of a half vector that pgvector indexes
WALK = {  # for one transaction: go on where filters left too few, nearly in order
    "hnsw.iterative_scan": "relaxed_order",
    "hnsw.ef_search": "100",
    "enable_sort": "off",  # else a plan may read the whole collection instead
}
Key = tuple[str, str]

INSERT = "insert into {table} values ($1, $2, $3, $4, $5, $6) on conflict do nothing"
SET = """select set_config(name, value, true)
    from unnest($1::text[], $2::text[]) as wanted (name, value)"""
# `+ 0` keeps the index out.
EXACT_ALL = """select document, position, 1 - (embedding <=> $3) as score from {table}
    where tenant = $1 and collection = $2 and {kept}
    order by (embedding <=> $3) + 0, document, position limit $4"""
EXACT = """select v.document, v.position, 1 - (v.embedding <=> $3) as score
    from documents d join {table} v on v.tenant = d.tenant and v.collection = d.collection
        and v.document = d.id and v.version = d.version
    where d.tenant = $1 and d.collection = $2 and {kept}
    order by (v.embedding <=> $3) + 0, v.document, v.position limit $4"""
WALKED = """with near as materialized (
        select v.document, v.position, v.embedding <=> $3 as distance from {table} v
        where v.tenant = $1 and v.collection = $2 {kept}
        order by v.embedding <=> $3 limit $4)
    select document, position, 1 - distance as score from near
    order by distance, document, position"""
# One by one, for a join might take the order away.
LOOKED_UP = """and (select {kept} from documents d where d.tenant = v.tenant
    and d.collection = v.collection and d.id = v.document and d.version = v.version)"""
SIZES = """select
    (select chunks from collections where tenant = $1 and name = $2) as chunks,
    (select reltuples::bigint from pg_class where oid = $3::text::regclass) as total"""
# The first row tells how many chunks the filter keeps, and no more than that there are too many.
FEW = """with kept as materialized (
        select d.id, d.version, d.chunks from documents d
        where d.tenant = $1 and d.collection = $2 and d.chunks > 0 and {kept} limit $5 + 1),
    counted as (select coalesce(sum(chunks), 0) as chunks from kept),
    near as (
        select v.document, v.position, 1 - (v.embedding <=> $3) as score
        from kept cross join lateral (
            select one.document, one.position, one.embedding from {table} one
            where one.tenant = $1 and one.collection = $2
                and one.document = kept.id and one.version = kept.version
            offset 0) v -- by the key: the planner, who cannot know how few they are, would read all
        where (select chunks from counted) <= $5
        order by (v.embedding <=> $3) + 0, v.document, v.position limit $4)
    select null as document, null as position, chunks::float8 as score from counted
    union all select * from near"""


@dataclass(frozen=True)
class Vectors:
    """Where the vectors of an embedder are; `name` is its model and revision."""

    number: int
    name: str
    dimensions: int

    @property
    def table(self) -> str:
        """Return the table's name."""
        return f"vectors_{self.number:d}"

    async def insert(
        self,
        connection: Connection,
        document: tuple[str, str, str, int],
        vectors: Sequence[NDArray[np.float32]],
    ) -> None:
        """Insert the vectors of a document's chunks, in the chunks' order."""
        rows = [(*document, n, HalfVector(vector)) for n, vector in enumerate(vectors)]
        for start in range(0, len(rows), ROWS_PER_STATEMENT):
            await connection.executemany(
                INSERT.format(table=self.table), rows[start : start + ROWS_PER_STATEMENT]
            )

    async def nearest(
        self,
        connection: Connection,
        key: Key,
        vector: NDArray[np.float32],
        where: Filter,
        limit: int,
    ) -> list[Row]:
        """Return document, position and cosine of the nearest visible chunks, nearest first."""
        half = HalfVector(vector)
        row = await connection.fetchrow(SIZES, *key, self.table)
        chunks = row["chunks"] or 0
        # The server's own count is late; there are at least the collection's.
        most = planner.most_exact(max(row["total"], chunks))
        if self.dimensions > INDEXED_DIMENSIONS or chunks <= most:
            return await self.exact(connection, key, half, where, limit)
        eligible = chunks
        if where:
            found, eligible = await self._few(connection, key, half, where, limit, most)
            if eligible <= most:
                return found
        found = await self.walked(connection, key, half, where, limit)
        if len(found) >= min(limit, eligible):
            return found
        return await self.exact(connection, key, half, where, limit)

    async def _few(
        self,
        connection: Connection,
        key: Key,
        vector: HalfVector,
        where: Filter,
        limit: int,
        most: int,
    ) -> tuple[list[Row], int]:
        """Compare with what the filter keeps if that is not too much; return how much it is.

        Of more than `most` only that they are more is known.
        """
        kept = condition(where, first=6)
        count, *rows = await connection.fetch(
            FEW.format(table=self.table, kept=kept.sql), *key, vector, limit, most, *kept.values
        )
        return rows, int(count["score"])

    async def exact(
        self, connection: Connection, key: Key, vector: HalfVector, where: Filter, limit: int
    ) -> list[Row]:
        """Compare with every vector that the filter keeps."""
        kept = condition(where, first=5)
        query = EXACT if kept.values else EXACT_ALL
        rows: list[Row] = await connection.fetch(
            query.format(table=self.table, kept=kept.sql), *key, vector, limit, *kept.values
        )
        return rows

    async def walked(
        self, connection: Connection, key: Key, vector: HalfVector, where: Filter, limit: int
    ) -> list[Row]:
        """Walk the index; may find fewer than there are."""
        kept = condition(where, first=5)
        looked_up = LOOKED_UP.format(kept=kept.sql) if kept.values else ""
        inner = connection.transaction()
        await inner.start()
        try:
            await connection.fetch(SET, list(WALK), list(WALK.values()))
            rows: list[Row] = await connection.fetch(
                WALKED.format(table=self.table, kept=looked_up), *key, vector, limit, *kept.values
            )
        finally:
            await inner.rollback()  # only this takes the settings back within a transaction
        return rows


async def registered(
    database: Database, name: str, reference: str | None, dimensions: int
) -> Vectors:
    """Return the embedder's vectors, after making their table if there is none.

    Raises DatabaseUnfit when the embedder has changed under its name.
    """
    async with database.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock($1)", MIGRATION_LOCK)
        row = await connection.fetchrow(
            "update embedders set reference = coalesce($2, reference) where name = $1 returning *",
            *(name, reference),
        )
        if row is None:
            row = await connection.fetchrow(
                "insert into embedders (name, reference, dimensions) values ($1, $2, $3)"
                " returning *",
                *(name, reference, dimensions),
            )
            await connection.execute(
                "select make_vectors($1, $2), index_vectors($1, $2)", row["number"], dimensions
            )
    if row["dimensions"] != dimensions:
        raise DatabaseUnfit(
            f"The embedder {name} made vectors of {row['dimensions']} numbers before and makes "
            f"{dimensions} now: it needs another revision, or `select rag.drop_embedder('{name}')`."
        )
    return Vectors(row["number"], row["name"], row["dimensions"])


async def are_complete(database: Database, number: int) -> bool:
    """Tell whether every indexed document has this embedder's vectors."""
    async with database.connection() as connection:
        return not await connection.fetchval(
            "select exists(select from documents"
            " where status = 'ready' and not embedded_by @> array[$1::integer])",
            number,
        )


async def fullest_but(database: Database, number: int) -> tuple[Vectors, str] | None:
    """Return which other loadable embedder has most documents, with its reference."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            "select e.* from embedders e join documents d on d.embedded_by @> array[e.number]"
            " where e.number <> $1 and e.reference is not null and d.status = 'ready'"
            " group by e.number order by count(*) desc, e.number desc limit 1",
            number,
        )
    return row and (Vectors(row["number"], row["name"], row["dimensions"]), row["reference"])
