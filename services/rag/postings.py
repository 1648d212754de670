"""A document's chunks as rows, and the word statistics that go with them.

Whatever changes a collection's statistics takes the collection's row first, so that writers never
deadlock.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pgvector import SparseVector

from kit.errors import NotFound
from services.rag import bm25
from services.rag.chunking import Span
from services.rag.database import Connection
from services.rag.vectors import Vectors

CHUNKS_PER_STATEMENT = 64  # encoding more at once would hold up the event loop
Key = tuple[str, str]
"""A collection: tenant and name."""


@dataclass(frozen=True)
class Chunk:
    """A piece of a document, ready to be found."""

    span: Span
    text: str
    stems: list[str]
    embeddings: Mapping[Vectors, NDArray[np.float32]]


async def lock(connection: Connection, key: Key) -> None:
    """Take the collection for this transaction, or raise NotFound."""
    found = await connection.fetchval(
        "select true from collections where tenant = $1 and name = $2 for no key update",
        *key,
    )
    if not found:
        raise no_collection(key)


async def require(connection: Connection, key: Key) -> None:
    """Raise NotFound unless the collection exists."""
    if not await connection.fetchval(
        "select true from collections where tenant = $1 and name = $2", *key
    ):
        raise no_collection(key)


async def remove(connection: Connection, key: Key, document: str) -> None:
    """Delete the document's chunks and take them out of the statistics."""
    await connection.execute(
        "with gone as (delete from chunks where tenant = $1 and collection = $2 and document = $3"
        "  returning words, stems),"
        " counted as (select term, count(*) as chunks"
        "  from gone, unnest(tsvector_to_array(words)) as term group by term),"
        # A word that stands nowhere any more goes as well: it may have been a secret.
        " forgotten as (delete from terms t using counted"
        "  where t.tenant = $1 and t.collection = $2 and t.term = counted.term"
        "  and t.chunks <= counted.chunks),"
        " corrected as (update terms t set chunks = t.chunks - counted.chunks from counted"
        "  where t.tenant = $1 and t.collection = $2 and t.term = counted.term"
        "  and t.chunks > counted.chunks)"
        " update collections set chunks = chunks - (select count(*) from gone),"
        "  stems = stems - (select coalesce(sum(stems), 0) from gone)"
        " where tenant = $1 and name = $2",
        *key,
        document,
    )


async def insert(
    connection: Connection, key: Key, document: str, version: int, chunks: Sequence[Chunk]
) -> None:
    """Insert the chunks and count them in the statistics."""
    row = await connection.fetchrow(
        "update collections set chunks = chunks + $3, stems = stems + $4"
        " where tenant = $1 and name = $2 returning chunks, stems",
        *key,
        len(chunks),
        sum(len(chunk.stems) for chunk in chunks),
    )
    average = row["stems"] / row["chunks"]
    prepared = await asyncio.to_thread(_rows, (*key, document, version), chunks, average)
    for start in range(0, len(prepared), CHUNKS_PER_STATEMENT):
        await connection.executemany(
            "insert into chunks values"
            " ($1, $2, $3, $4, $5, $6, $7, $8, $9, array_to_tsvector($10::text[]), $11)",
            prepared[start : start + CHUNKS_PER_STATEMENT],
        )
    for vectors in chunks[0].embeddings if chunks else ():
        made = [chunk.embeddings[vectors] for chunk in chunks]
        await vectors.insert(connection, (*key, document, version), made)
    counts = Counter(stem for chunk in chunks for stem in set(chunk.stems))
    await connection.execute(
        "insert into terms select $1, $2, * from unnest($3::text[], $4::integer[])"
        " on conflict (tenant, collection, term)"
        " do update set chunks = terms.chunks + excluded.chunks",
        *key,
        list(counts),
        list(counts.values()),
    )


def _rows(
    document: tuple[str, str, str, int], chunks: Sequence[Chunk], average_stems: float
) -> list[tuple[Any, ...]]:
    return [
        (
            *(*document, position),
            *(chunk.span.start, chunk.span.end, chunk.text, len(chunk.stems)),
            sorted(set(chunk.stems)),
            SparseVector(bm25.document_vector(chunk.stems, average_stems), bm25.DIMENSIONS),
        )
        for position, chunk in enumerate(chunks)
    ]


def no_collection(key: Key) -> NotFound:
    """Describe the collection that does not exist."""
    return NotFound(f"There is no collection {key[1]!r}.")
