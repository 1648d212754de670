"""Find the chunks for a question: by meaning, by words, or by both fused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pgvector import SparseVector

from services.rag import bm25, language
from services.rag.database import Connection, Database, Row
from services.rag.filters import Filter, condition
from services.rag.postings import Key, require
from services.rag.schemas import Mode, Passage
from services.rag.spaces import Spaces

DEPTH = 100  # places of each leg that the fusion looks at

Place = tuple[str, int]
"""A chunk within its collection: document and position."""

FROM = """from chunks c join documents d on d.tenant = c.tenant and d.collection = c.collection
    and d.id = c.document and d.version = c.version
    where c.tenant = $1 and c.collection = $2"""
KEYWORD = f"""select c.document, c.position, -(c.weights <#> $3) as score {FROM}
    and c.words @@ $4::text::tsquery and KEPT
    order by c.weights <#> $3, c.document, c.position limit {DEPTH}"""
DETAILS = f"""select c.document, c.position, c.start, c.end, c.text, d.title, d.metadata {FROM}
    and (c.document, c.position) in (select * from unnest($3::text[], $4::integer[]))"""  # noqa: S608 - made of constants


@dataclass(frozen=True)
class Leg:
    """What one way of searching found, best first."""

    places: list[Place]
    scores: list[float]

    def at(self, place: Place) -> tuple[int | None, float | None]:
        """Return the place's rank, from 1, and its score."""
        if place not in self.places:
            return None, None
        index = self.places.index(place)
        return index + 1, self.scores[index]


NOTHING = Leg([], [])


class Retrieval:
    """Searches what a tenant may see; `planner.py` says when by an index."""

    def __init__(
        self,
        database: Database,
        spaces: Spaces,
        *,
        dense_weights: Mapping[str, float],
    ) -> None:
        self._database = database
        self._spaces = spaces
        self._dense_weights = dense_weights

    async def search(
        self, key: Key, query: str, *, k: int, mode: Mode = "hybrid", where: Filter = None
    ) -> list[Passage]:
        """Return the `k` best passages; raise NotFound when the collection does not exist."""
        space = self._spaces.asked
        vector = await space.embedder.submit(query) if mode != "keyword" else None
        # In one snapshot: a document that is replaced meanwhile is found as it was, whole.
        async with self._database.snapshot() as connection:
            dense, keyword = NOTHING, NOTHING
            if vector is not None:
                near = await space.vectors.nearest(connection, key, vector, where, DEPTH)
                dense = _leg(near)
            if mode != "dense":
                keyword = await _keyword(connection, key, query, where)
            fused = self._best(query, mode, dense, keyword)[:k]
            rows = await _details(connection, key, [place for place, _ in fused])
        return [
            _passage(rows[place], score, dense, keyword) for place, score in fused if place in rows
        ]

    def _best(self, query: str, mode: Mode, dense: Leg, keyword: Leg) -> list[tuple[Place, float]]:
        dense_weight = self._dense_weights.get(language.detect(query), 1.0)
        weights = {"hybrid": dense_weight, "dense": 1.0, "keyword": 0.0}
        return _fused(dense, keyword, weights[mode])

    async def rarity(self, key: Key, query: str) -> dict[str, float]:
        """Return how rare each of the query's stems is in the collection; unknown ones are rarest."""
        stems = _stems(query)
        async with self._database.connection() as connection:
            known, chunks = await _counted(connection, key, stems)
        return {stem: bm25.rarity(known.get(stem, 0), chunks) for stem in stems}


def _stems(query: str) -> list[str]:
    return list(dict.fromkeys(language.stems(query, language.candidates(query))))


async def _counted(
    connection: Connection, key: Key, stems: list[str]
) -> tuple[dict[str, int], int]:
    """Return how many chunks hold each of the stems that any holds, and how many there are."""
    chunks = await connection.fetchval(
        "select chunks from collections where tenant = $1 and name = $2", *key
    )
    counts = await connection.fetch(
        "select term, chunks from terms"
        " where tenant = $1 and collection = $2 and term = any($3) and chunks > 0",
        *key,
        stems,
    )
    return {row["term"]: row["chunks"] for row in counts}, chunks or 0


async def _keyword(connection: Connection, key: Key, query: str, where: Filter) -> Leg:
    known, chunks = await _counted(connection, key, _stems(query))
    if not known:
        return NOTHING
    vector = SparseVector(bm25.query_vector(known, chunks), bm25.DIMENSIONS)
    # Stems consist of letters, digits and '_', so quoting them is enough.
    any_of = " | ".join(f"'{stem}'" for stem in bm25.selective(known, chunks))
    kept = condition(where, first=5)
    keyword = KEYWORD.replace("KEPT", kept.sql)
    return _leg(await connection.fetch(keyword, *key, vector, any_of, *kept.values))


def _leg(rows: Sequence[Row]) -> Leg:
    places = [(row["document"], row["position"]) for row in rows]
    return Leg(places, [float(row["score"]) for row in rows])


def _fused(dense: Leg, keyword: Leg, dense_weight: float) -> list[tuple[Place, float]]:
    """Add the legs' scores, each as a share of its leg's best, to one between 0 and 1.

    Reciprocal ranks, the usual way, forget how far the best is ahead: see README.md.
    """
    keyword_weight = 1.0 if keyword.places else 0.0
    total = (dense_weight if dense.places else 0.0) + keyword_weight
    scores: dict[Place, float] = {}
    for leg, weight in ((dense, dense_weight), (keyword, 1.0)):
        best = max(leg.scores, default=0.0)
        for place, score in zip(leg.places, leg.scores, strict=True):
            share = max(0.0, score) / best if best > 0 else 0.0
            scores[place] = scores.get(place, 0.0) + weight * share / total
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


async def _details(connection: Connection, key: Key, places: list[Place]) -> dict[Place, Row]:
    documents, positions = [place[0] for place in places], [place[1] for place in places]
    rows = await connection.fetch(DETAILS, *key, documents, positions)
    if not rows:
        await require(connection, key)
    return {(row["document"], row["position"]): row for row in rows}


def _passage(row: Row, score: float, dense: Leg, keyword: Leg) -> Passage:
    place = (row["document"], row["position"])
    dense_rank, dense_score = dense.at(place)
    keyword_rank, keyword_score = keyword.at(place)
    return Passage(
        document_id=row["document"],
        chunk_id=f"{row['document']}#{row['position']}",
        title=row["title"],
        text=row["text"],
        start=row["start"],
        end=row["end"],
        score=score,
        metadata=row["metadata"],
        dense_rank=dense_rank,
        dense_score=dense_score,
        keyword_rank=keyword_rank,
        keyword_score=keyword_score,
    )
