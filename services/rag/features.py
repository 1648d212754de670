"""What the learned ranker knows about a found chunk: signs that mean the same in every collection."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from services.rag import language
from services.rag.legs import Leg, Place

OPENING_CHARS = 200
BEYOND = 101  # the rank of what a way of searching did not find
NAMES = (
    "dense",
    "dense_behind",
    "dense_rank",
    "keyword",
    "keyword_share",
    "keyword_rank",
    "fused",
    "words",
    "title_words",
    "title_named",
    "rest_words",
    "rest_opening",
    "position",
    "stems",
    "document_dense_behind",
    "document_keyword_share",
    "document_chunks",
    "query_stems",
    "dense_weight",
)


@dataclass(frozen=True)
class Query:
    """A question as the ranker sees it."""

    languages: tuple[str, ...]
    rarity: Mapping[str, float]
    """How rare each of its stems is in the collection."""
    dense_weight: float
    """What meaning counts beside words in its language: how well the embedder knows it."""


@dataclass(frozen=True)
class Candidate:
    """A found chunk with its exact scores and the question's stems that it holds."""

    place: Place
    title: str
    opening: str
    fused: float
    dense: float
    keyword: float
    stems: int
    held: frozenset[str]


def table(
    query: Query, candidates: Sequence[Candidate], dense: Leg, keyword: Leg
) -> NDArray[np.float32]:
    """Return a row of numbers per candidate, in the order of NAMES."""
    best_dense = max((one.dense for one in candidates), default=0.0)
    best_keyword = max((one.keyword for one in candidates), default=0.0) or 1.0
    of_document: dict[str, list[Candidate]] = defaultdict(list)
    for one in candidates:
        of_document[one.place[0]].append(one)
    rows = [
        (
            one.dense,
            best_dense - one.dense,
            math.log1p(dense.ranks.get(one.place, BEYOND)),
            one.keyword / (sum(query.rarity.values()) or 1.0),
            one.keyword / best_keyword,
            math.log1p(keyword.ranks.get(one.place, BEYOND)),
            one.fused,
            *_words(query, one),
            math.log1p(one.place[1]),
            math.log1p(one.stems),
            best_dense - max(other.dense for other in of_document[one.place[0]]),
            max(other.keyword for other in of_document[one.place[0]]) / best_keyword,
            math.log1p(len(of_document[one.place[0]])),
            len(query.rarity),
            query.dense_weight,
        )
        for one in candidates
    ]
    return np.array(rows, dtype=np.float32).reshape(len(rows), len(NAMES))


def _words(query: Query, one: Candidate) -> tuple[float, float, float, float, float]:
    """Return how the question's words lie in the chunk, in its title and beside the title."""
    rarity = query.rarity
    title = _stems(one.title, query.languages)
    rest = {stem: weight for stem, weight in rarity.items() if stem not in title}
    opening = _stems(one.opening, query.languages) if rest else frozenset()
    return (
        _share(one.held, rarity),
        _share(title, rarity),
        len(title & rarity.keys()) / len(title) if title else 0.0,
        _share(one.held, rest) if rest else 1.0,
        _share(opening, rest) if rest else 1.0,
    )


def _share(held: frozenset[str], rarity: Mapping[str, float]) -> float:
    total = sum(rarity.values())
    return sum(weight for stem, weight in rarity.items() if stem in held) / total if total else 0.0


@lru_cache(maxsize=20_000)
def _stems(text: str, languages: tuple[str, ...]) -> frozenset[str]:
    return frozenset(language.stems(text, languages))
