"""Which ranker a collection has: its own, or the service's."""

import hashlib
import time
from dataclasses import dataclass

from kit.errors import NotFound, Unprocessable
from services.rag import postings
from services.rag.database import Database
from services.rag.postings import Key
from services.rag.ranker import LearnedRanker, Ranker
from services.rag.schemas import CollectionRanker
from services.rag.trees import UnfitTrees

FRESH_SECONDS = 5.0  # after which another process's change is seen
MOST_KNOWN = 1000  # collections whose ranker is remembered


@dataclass(frozen=True)
class Known:
    """A collection's ranker as of a moment."""

    ranker: Ranker | None
    sha256: str | None
    until: float


class Rankers:
    """Rankers of collections, in PostgreSQL; a change counts in all processes after 5 seconds."""

    def __init__(self, database: Database, default: Ranker | None) -> None:
        self._database = database
        self._default = default
        self._known: dict[Key, Known] = {}

    async def of(self, key: Key) -> Ranker | None:
        """Return the collection's own ranker, else the service's, else none."""
        known = self._known.get(key)
        if known is None or known.until < time.monotonic():
            known = await self._look(key, known)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[key] = known
        return known.ranker

    async def put(self, key: Key, content: bytes) -> CollectionRanker:
        """Give the collection a ranker of its own.

        Raises Unprocessable for a file that is none, NotFound without the collection.
        """
        digest = hashlib.sha256(content).hexdigest()
        try:
            own = LearnedRanker.from_bytes(content, _name(digest))
        except UnfitTrees as error:
            raise Unprocessable(f"The file is no ranker: {error}.") from None
        async with self._database.transaction() as connection:
            await postings.require(connection, key)
            await connection.execute(
                "insert into rankers (tenant, collection, content, sha256) values ($1, $2, $3, $4)"
                " on conflict (tenant, collection) do update set content = excluded.content,"
                " sha256 = excluded.sha256, made_at = now()",
                *(*key, content, digest),
            )
        self._known.pop(key, None)
        return CollectionRanker(name=own.name, sha256=digest)

    async def delete(self, key: Key) -> None:
        """Go back to the service's ranker, or raise NotFound."""
        async with self._database.transaction() as connection:
            gone = await connection.fetch(
                "delete from rankers where tenant = $1 and collection = $2 returning 1", *key
            )
        if not gone:
            raise NotFound(f"The collection {key[1]!r} has no ranker of its own.")
        self._known.pop(key, None)

    async def _look(self, key: Key, before: Known | None) -> Known:
        until = time.monotonic() + FRESH_SECONDS
        async with self._database.connection() as connection:
            digest = await connection.fetchval(
                "select sha256 from rankers where tenant = $1 and collection = $2", *key
            )
            if digest is None:
                return Known(self._default, None, until)
            if before is not None and before.sha256 == digest:
                return Known(before.ranker, digest, until)
            row = await connection.fetchrow(
                "select content, sha256 from rankers where tenant = $1 and collection = $2", *key
            )
        if row is None:
            return Known(self._default, None, until)
        try:
            ranker: Ranker | None = LearnedRanker.from_bytes(row["content"], _name(row["sha256"]))
        except UnfitTrees:  # made for an earlier version's features
            ranker = self._default
        return Known(ranker, row["sha256"], until)


def _name(digest: str) -> str:
    return f"collection@{digest[:12]}"
