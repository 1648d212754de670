"""A corpus in memory, searched as the service searches it: hours of a database in minutes.

Chunks, stems, weights, fusion, features and ranker are the service's own; only the two scans are
numpy's in place of PostgreSQL's. A test compares both.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from services.rag import bm25, chunking, features, language, legs
from services.rag.legs import NOTHING, Fused, Leg, Place
from services.rag.model import Embedder
from services.rag.ranker import Ranker
from services.rag.retrieval import DEPTH, RANKED
from services.rag.schemas import Chunking, NewDocument
from services.rag.settings import Settings

AT_ONCE = 64


@dataclass(frozen=True)
class Piece:
    """A chunk: where it is, its text and its stems."""

    place: Place
    title: str
    text: str
    stems: list[str]


@dataclass(frozen=True)
class Seen:
    """What a question found: both legs, their fusion, and the ranker's table of its head."""

    dense: Leg
    keyword: Leg
    fused: Fused
    rrf: Fused
    head: Fused
    table: NDArray[np.float32]

    def ranked(self, ranker: Ranker) -> Fused:
        """Return the head in the ranker's order, and the rest behind it."""
        scores = ranker.rank(self.table)
        order = sorted(range(len(self.head)), key=lambda at: (-scores[at], at))
        return [self.head[at] for at in order] + self.fused[len(self.head) :]


class Shelf:
    """Documents, cut, stemmed and embedded."""

    def __init__(self, documents: Sequence[NewDocument], embedder: Embedder) -> None:
        self.embedder = embedder
        self._settings = Settings()
        cut = [self._cut(document) for document in documents]
        self.pieces = [piece for group in cut for piece in group]
        self.vectors = self._embedded()
        self._counts: Counter[str] = Counter()
        rows, columns, values = [], [], []
        self._column: dict[int, int] = {}
        stems = chunks = 0
        for group in cut:
            start, chunks = chunks, chunks + len(group)
            stems += sum(len(piece.stems) for piece in group)
            for row, piece in enumerate(group, start):
                self._counts.update(set(piece.stems))
                for dimension, weight in bm25.document_vector(piece.stems, stems / chunks).items():
                    rows.append(row)
                    columns.append(self._column.setdefault(dimension, len(self._column)))
                    values.append(weight)
        shape = (len(self.pieces), len(self._column))
        self._weights = csc_matrix((np.array(values, dtype=np.float32), (rows, columns)), shape)
        self._held = [frozenset(piece.stems) for piece in self.pieces]
        self._row_of = {piece.place: row for row, piece in enumerate(self.pieces)}

    def search(self, queries: Sequence[str]) -> Iterator[Seen]:
        """Look for each question with both legs; many at a time are embedded and compared."""
        for start in range(0, len(queries), AT_ONCE):
            group = list(queries[start : start + AT_ONCE])
            vectors = np.stack(self.embedder.embed(group)).astype(np.float16).astype(np.float32)
            for query, cosines in zip(group, vectors @ self.vectors.T, strict=True):
                yield self._seen(query, cosines)

    def _seen(self, query: str, cosines: NDArray[np.float32]) -> Seen:
        spoken = tuple(language.candidates(query))
        stems = list(dict.fromkeys(language.stems(query, spoken)))
        known = {stem: self._counts[stem] for stem in stems if self._counts[stem]}
        scores, is_held = self._keyword_scores(known)
        dense = self._leg(cosines, np.ones(len(cosines), dtype=bool))
        keyword = self._leg(scores, is_held) if known else NOTHING
        weight = self._settings.dense_weights.get(language.detect(query), 1.0)
        fused = legs.by_shares(dense, keyword, weight)
        head = fused[:RANKED]
        rarity = {stem: bm25.rarity(self._counts[stem], len(self.pieces)) for stem in stems}
        asked = features.Query(spoken, rarity, weight)
        candidates = [
            self._candidate(self._row_of[place], share, cosines, scores, frozenset(stems))
            for place, share in head
        ]
        table = features.table(asked, candidates, dense, keyword)
        return Seen(dense, keyword, fused, legs.by_ranks(dense, keyword, weight), head, table)

    def _candidate(
        self,
        row: int,
        share: float,
        cosines: NDArray[np.float32],
        scores: NDArray[np.float32],
        stems: frozenset[str],
    ) -> features.Candidate:
        piece = self.pieces[row]
        return features.Candidate(
            place=piece.place,
            title=piece.title,
            opening=piece.text[: features.OPENING_CHARS],
            fused=share,
            dense=float(cosines[row]),
            keyword=float(scores[row]),
            stems=len(piece.stems),
            held=self._held[row] & stems,
        )

    def _keyword_scores(
        self, known: dict[str, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return every chunk's BM25, and whether it holds a stem by which candidates are chosen."""
        scores = np.zeros(len(self.pieces), dtype=np.float32)
        is_held = np.zeros(len(self.pieces), dtype=bool)
        selective = set(bm25.selective(known, len(self.pieces)))
        for stem, chunks in known.items():
            ((dimension, idf),) = bm25.query_vector({stem: chunks}, len(self.pieces)).items()
            at = self._column[dimension]
            own = slice(self._weights.indptr[at], self._weights.indptr[at + 1])
            scores[self._weights.indices[own]] += idf * self._weights.data[own]
            if stem in selective:
                is_held[self._weights.indices[own]] = True
        return scores, is_held

    def _leg(self, scores: NDArray[np.float32], is_eligible: NDArray[np.bool_]) -> Leg:
        eligible = np.flatnonzero(is_eligible)
        if len(eligible) > DEPTH:
            best = np.argpartition(-scores[eligible], DEPTH - 1)[:DEPTH]
            eligible = eligible[best]
        found = sorted(
            ((self.pieces[row].place, float(scores[row])) for row in eligible),
            key=lambda pair: (-pair[1], pair[0]),
        )
        return Leg([place for place, _ in found], [score for _, score in found])

    def _cut(self, document: NewDocument) -> list[Piece]:
        known = document.language or language.detect(f"{document.title}\n{document.text}")
        title = language.stems(document.title, [known])
        identity = document.id or ""
        spans = chunking.cut(document.text, Chunking(), default_words=self._settings.chunk_words)
        texts = [document.text[span.start : span.end] for span in spans]
        return [
            Piece((identity, at), document.title, text, title + language.stems(text, [known]))
            for at, text in enumerate(texts)
        ]

    def _embedded(self) -> NDArray[np.float32]:
        texts = [f"{piece.title}\n{piece.text}".strip() for piece in self.pieces]
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))  # like lengths together
        vectors: dict[int, NDArray[np.float32]] = {}
        for start in range(0, len(order), AT_ONCE):
            rows = order[start : start + AT_ONCE]
            made = self.embedder.embed([texts[row] for row in rows])
            vectors |= dict(zip(rows, made, strict=True))
        # Half precision, as the database keeps them.
        return (
            np.stack([vectors[row] for row in range(len(texts))])
            .astype(np.float16)
            .astype(np.float32)
        )
