"""Find the chunks for a question: by meaning, by words, or by both fused and ranked."""

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
        vector = await space.embedder.submit(query) if wish.mode != "keyword" else None
        ranker = await self._ranker(key, wish)
        # In one snapshot: a document that is replaced meanwhile is found as it was, whole.
        async with self._database.snapshot() as connection:
            question = await _question(connection, key, query)
            look = Look(connection, key, space, vector, question, wish)
            dense, keyword = await look.legs()
            weight = self._dense_weights.get(question.language, 1.0)
            fuse = legs.by_ranks if wish.fusion == "rrf" else legs.by_shares
            fused = fuse(dense, keyword, weight if wish.mode == "hybrid" else 1.0)
            if ranker is None or vector is None:
                count = max(wish.k, JUDGED if self._is_judged(wish) else 0)
                best = await look.plain(fused[:count], dense, keyword)
            else:
                best = await look.ranked(vector, fused, dense, keyword, weight, ranker)
        if self._judge and self._is_judged(wish) and best:
            best = await _judged(self._judge, query, best)
        return best[: wish.k]

    async def rarity(self, key: Key, query: str) -> dict[str, float]:
        """Return how rare each of the query's stems is in the collection; unknown ones are rarest."""
        async with self._database.connection() as connection:
            return dict((await _question(connection, key, query)).rarity)

    async def _ranker(self, key: Key, wish: Wish) -> Ranker | None:
        if not wish.rerank or wish.mode != "hybrid" or self._ranker_of is None:
            return None
        return await self._ranker_of(key)

    def _is_judged(self, wish: Wish) -> bool:
        return wish.rerank and self._judge is not None


@dataclass(frozen=True)
class Look:
    """One search on one connection."""

    connection: Connection
    key: Key
    space: Space
    vector: Vector | None
    question: Question
    wish: Wish

    async def legs(self) -> tuple[Leg, Leg]:
        """Search by meaning and by words, as far as wished."""
        dense = keyword = NOTHING
        if self.vector is not None:
            dense = _leg(
                await self.space.vectors.nearest(
                    self.connection, self.key, self.vector, self.wish.where, DEPTH
                )
            )
        if self.wish.mode != "dense" and self.question.known:
            keyword = await self._keyword()
        return dense, keyword

    async def _keyword(self) -> Leg:
        # Stems consist of letters, digits and '_', so quoting them is enough.
        selective = bm25.selective(self.question.known, self.question.chunks)
        any_of = " | ".join(f"'{stem}'" for stem in selective)
        kept = condition(self.wish.where, first=5)
        statement = KEYWORD.replace("KEPT", kept.sql)
        values = (_sparse(self.question), any_of, *kept.values)
        return _leg(await self.connection.fetch(statement, *self.key, *values))

    async def plain(self, fused: Fused, dense: Leg, keyword: Leg) -> list[Found]:
        """Describe the places in their order."""
        rows = await self._details(fused, DETAILS.replace("COLUMNS", ""))
        return [
            found.of(rows[place], score, dense, keyword) for place, score in fused if place in rows
        ]

    async def ranked(
        self,
        vector: Vector,
        fused: Fused,
        dense: Leg,
        keyword: Leg,
        weight: float,
        ranker: Ranker,
    ) -> list[Found]:
        """Put the best fused places in the ranker's order; what it does not look at follows."""
        head, tail = fused[:RANKED], fused[RANKED : self.wish.k]
        statement = DETAILS.replace("COLUMNS", EXACTLY)
        statement += VECTORS.format(table=self.space.vectors.table)
        question = self.question
        values = (_sparse(question), HalfVector(vector), list(question.rarity))
        rows = await self._details(head, statement, *values)
        known = [(place, score) for place, score in head if place in rows]
        query = features.Query(tuple(language.candidates(question.text)), question.rarity, weight)
        seen = [_candidate(rows[place], score) for place, score in known]
        table = features.table(query, seen, dense, keyword)
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
        return best + (await self.plain(rest, dense, keyword) if rest else [])

    async def _details(self, fused: Fused, statement: str, *values: Any) -> dict[Place, Row]:
        documents = [place[0] for place, _ in fused]
        positions = [place[1] for place, _ in fused]
        rows = await self.connection.fetch(statement, *self.key, documents, positions, *values)
        if not rows:
            await require(self.connection, self.key)
        return {(row["document"], row["position"]): row for row in rows}


async def _judged(judge: Judge, query: str, best: list[Found]) -> list[Found]:
    """Let the cross-encoder order the very best."""
    head, tail = best[:JUDGED], best[JUDGED:]
    texts = [f"{one.passage.title}\n{one.passage.text}".strip() for one in head]
    scores = await judge(query, texts)
    judged = [one.judged(score) for one, score in zip(head, scores, strict=True)]
    judged.sort(key=lambda one: -one.passage.score)
    last = judged[-1].passage.score
    return judged + [one.scaled(last) for one in tail]


async def _question(connection: Connection, key: Key, query: str) -> Question:
    stems = list(dict.fromkeys(language.stems(query, language.candidates(query))))
    known, chunks = await _counted(connection, key, stems)
    rarity = {stem: bm25.rarity(known.get(stem, 0), chunks) for stem in stems}
    return Question(query, language.detect(query), rarity, known, chunks)


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


def _leg(rows: Sequence[Row]) -> Leg:
    places = [(row["document"], row["position"]) for row in rows]
    return Leg(places, [float(row["score"]) for row in rows])
