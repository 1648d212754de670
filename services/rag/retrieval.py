"""Find the chunks for a question: by meaning, by words, or by both fused and ranked."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pgvector import HalfVector, SparseVector

from services.rag import bm25, features, found, language, legs
from services.rag.database import Connection, Database, Row
from services.rag.filters import Filter, condition
from services.rag.found import Found
from services.rag.legs import NOTHING, Fused, Leg, Place
from services.rag.model import Vector
from services.rag.postings import Key, require
from services.rag.ranker import Ranker
from services.rag.schemas import Fusion, Mode, Passage
from services.rag.spaces import Space, Spaces

DEPTH = 100  # places of each leg that the fusion looks at
RANKED = 50  # best fused places that the ranker orders anew
JUDGED = 20  # best ranked places that a cross-encoder reads

KEYWORD = f"""select c.document, c.position, -(c.weights <#> $3) as score
    from chunks c join documents d on d.tenant = c.tenant and d.collection = c.collection
    and d.id = c.document and d.version = c.version
    where c.tenant = $1 and c.collection = $2 and c.words @@ $4::text::tsquery and KEPT
    order by c.weights <#> $3, c.document, c.position limit {DEPTH}"""  # noqa: S608 - made of constants
DETAILS = """select c.document, c.position, c.start, c.end, c.text, d.title, d.metadata COLUMNS
    from unnest($3::text[], $4::integer[]) as wanted (document, position)
    join chunks c on c.tenant = $1 and c.collection = $2
        and c.document = wanted.document and c.position = wanted.position
    join documents d on d.tenant = c.tenant and d.collection = c.collection
        and d.id = c.document and d.version = c.version"""
# What the ranker wants to know of every place, whichever way it was found.
EXACTLY = """, c.stems, -(c.weights <#> $5) as keyword, 1 - (v.embedding <=> $6) as dense,
    array(select unnest(tsvector_to_array(c.words)) intersect select unnest($7::text[])) as held"""
VECTORS = """ left join {table} v on v.tenant = c.tenant and v.collection = c.collection
    and v.document = c.document and v.version = c.version and v.position = c.position"""

Judge = Callable[[str, Sequence[str]], Awaitable[list[float]]]
"""A cross-encoder: returns how well each text answers a question, from 0 to 1."""
RankerOf = Callable[[Key], Awaitable[Ranker | None]]
"""Returns the ranker of a collection."""


@dataclass(frozen=True)
class Wish:
    """How to search."""

    k: int
    mode: Mode = "hybrid"
    where: Filter = None
    fusion: Fusion = "shares"
    rerank: bool = True


@dataclass(frozen=True)
class Question:
    """A question with the collection's word statistics."""

    text: str
    language: str
    rarity: Mapping[str, float]
    """How rare each of its stems is; unknown ones are rarest."""
    known: Mapping[str, int]
    """How many chunks hold each of the stems that any holds."""
    chunks: int


class Retrieval:
    """Searches what a tenant may see; `planner.py` says when by an index."""

    def __init__(
        self,
        database: Database,
        spaces: Spaces,
        *,
        dense_weights: Mapping[str, float],
        ranker_of: RankerOf | None = None,
        judge: Judge | None = None,
    ) -> None:
        self._database = database
        self._spaces = spaces
        self._dense_weights = dense_weights
        self._ranker_of = ranker_of
        self._judge = judge

    async def search(
        self, key: Key, query: str, *, k: int, mode: Mode = "hybrid", where: Filter = None
    ) -> list[Passage]:
        """Return the `k` best passages; raise NotFound when the collection does not exist."""
        best = await self.found(key, query, Wish(k, mode, where))
        return [one.passage for one in best]

    async def found(self, key: Key, query: str, wish: Wish) -> list[Found]:
        """Return the `k` best places with all that is known of them; raise NotFound as above."""
        space = self._spaces.asked
        vector, question = await asyncio.gather(
            space.embedder.submit(query) if wish.mode != "keyword" else _no_vector(),
            self._question(key, query),
        )
        dense, keyword = await asyncio.gather(
            self._dense(key, space, vector, wish.where),
            self._keyword(key, question, wish.where) if wish.mode != "dense" else _nothing(),
        )
        fuse = legs.by_ranks if wish.fusion == "rrf" else legs.by_shares
        weight = self._dense_weights.get(question.language, 1.0)
        fused = fuse(dense, keyword, weight if wish.mode == "hybrid" else 1.0)
        ranker = None
        if wish.rerank and wish.mode == "hybrid" and vector is not None and self._ranker_of:
            ranker = await self._ranker_of(key)
        if ranker is None or vector is None:
            best = await self._plain(key, fused[: max(wish.k, self._judged(wish))], dense, keyword)
        else:
            sides = (dense, keyword, weight)
            best = await self._ranked(key, space, vector, question, fused, sides, ranker, wish.k)
        return (await self._judged_anew(query, best, wish))[: wish.k]

    async def rarity(self, key: Key, query: str) -> dict[str, float]:
        """Return how rare each of the query's stems is in the collection; unknown ones are rarest."""
        return dict((await self._question(key, query)).rarity)

    async def _question(self, key: Key, query: str) -> Question:
        stems = _stems(query)
        async with self._database.connection() as connection:
            known, chunks = await _counted(connection, key, stems)
        rarity = {stem: bm25.rarity(known.get(stem, 0), chunks) for stem in stems}
        return Question(query, language.detect(query), rarity, known, chunks)

    async def _dense(self, key: Key, space: Space, vector: Vector | None, where: Filter) -> Leg:
        if vector is None:
            return NOTHING
        async with self._database.connection() as connection:
            return _leg(await space.vectors.nearest(connection, key, vector, where, DEPTH))

    async def _keyword(self, key: Key, question: Question, where: Filter) -> Leg:
        if not question.known:
            return NOTHING
        # Stems consist of letters, digits and '_', so quoting them is enough.
        selective = bm25.selective(question.known, question.chunks)
        any_of = " | ".join(f"'{stem}'" for stem in selective)
        kept = condition(where, first=5)
        statement = KEYWORD.replace("KEPT", kept.sql)
        values = (_sparse(question), any_of, *kept.values)
        async with self._database.connection() as connection:
            return _leg(await connection.fetch(statement, *key, *values))

    async def _plain(self, key: Key, fused: Fused, dense: Leg, keyword: Leg) -> list[Found]:
        rows = await self._details(key, fused, DETAILS.replace("COLUMNS", ""))
        return [
            found.of(rows[place], score, dense, keyword) for place, score in fused if place in rows
        ]

    async def _ranked(
        self,
        key: Key,
        space: Space,
        vector: Vector,
        question: Question,
        fused: Fused,
        sides: tuple[Leg, Leg, float],
        ranker: Ranker,
        k: int,
    ) -> list[Found]:
        """Put the best fused places in the ranker's order; what it does not look at follows."""
        dense, keyword, weight = sides
        head, tail = fused[:RANKED], fused[RANKED:k]
        statement = DETAILS.replace("COLUMNS", EXACTLY) + VECTORS.format(table=space.vectors.table)
        values = (_sparse(question), HalfVector(vector), list(question.rarity))
        rows = await self._details(key, head, statement, *values)
        known = [(place, score) for place, score in head if place in rows]
        query = features.Query(tuple(language.candidates(question.text)), question.rarity, weight)
        table = features.table(
            query, [_candidate(rows[place], score) for place, score in known], dense, keyword
        )
        scores = ranker.rank(table) if known else np.zeros(0)
        order = sorted(range(len(known)), key=lambda at: (-scores[at], at))
        best = [
            replace(
                found.of(rows[known[at][0]], float(scores[at]), dense, keyword),
                fused=known[at][1],
                ranker=ranker.name,
                features=dict(zip(features.NAMES, map(float, table[at]), strict=True)),
            )
            for at in order
        ]
        last = best[-1].passage.score if best else 1.0
        rest = [(place, score * last) for place, score in tail]  # scores never rise again
        return best + (await self._plain(key, rest, dense, keyword) if rest else [])

    def _judged(self, wish: Wish) -> int:
        return JUDGED if self._judge and wish.rerank else 0

    async def _judged_anew(self, query: str, best: list[Found], wish: Wish) -> list[Found]:
        """Let the cross-encoder, where there is one, order the very best."""
        count = self._judged(wish)
        if not self._judge or not count or not best:
            return best
        head, tail = best[:count], best[count:]
        texts = [f"{one.passage.title}\n{one.passage.text}".strip() for one in head]
        scores = await self._judge(query, texts)
        judged = [one.judged(score) for one, score in zip(head, scores, strict=True)]
        judged.sort(key=lambda one: -one.passage.score)
        last = judged[-1].passage.score
        return judged + [one.scaled(last) for one in tail]

    async def _details(
        self, key: Key, fused: Fused, statement: str, *values: Any
    ) -> dict[Place, Row]:
        documents = [place[0] for place, _ in fused]
        positions = [place[1] for place, _ in fused]
        async with self._database.connection() as connection:
            rows = await connection.fetch(statement, *key, documents, positions, *values)
            if not rows:
                await require(connection, key)
        return {(row["document"], row["position"]): row for row in rows}


def _candidate(row: Row, fused: float) -> features.Candidate:
    return features.Candidate(
        place=(row["document"], row["position"]),
        title=row["title"],
        opening=row["text"][: features.OPENING_CHARS],
        fused=fused,
        dense=row["dense"] if row["dense"] is not None else 0.0,
        keyword=row["keyword"],
        stems=row["stems"],
        held=frozenset(row["held"]),
    )


def _sparse(question: Question) -> SparseVector:
    return SparseVector(bm25.query_vector(question.known, question.chunks), bm25.DIMENSIONS)


def _stems(query: str) -> list[str]:
    return list(dict.fromkeys(language.stems(query, language.candidates(query))))


async def _counted(
    connection: Connection, key: Key, stems: list[str]
) -> tuple[dict[str, int], int]:
    """Return how many chunks hold each of the stems that any holds, and how many there are."""
    rows = await connection.fetch(
        "select c.chunks as all, t.term, t.chunks from collections c left join terms t"
        " on t.tenant = c.tenant and t.collection = c.name and t.term = any($3) and t.chunks > 0"
        " where c.tenant = $1 and c.name = $2",
        *(*key, stems),
    )
    known = {row["term"]: row["chunks"] for row in rows if row["term"] is not None}
    return known, rows[0]["all"] if rows else 0


async def _nothing() -> Leg:
    return NOTHING


async def _no_vector() -> None:
    return None


def _leg(rows: Sequence[Row]) -> Leg:
    places = [(row["document"], row["position"]) for row in rows]
    return Leg(places, [float(row["score"]) for row in rows])
