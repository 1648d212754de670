"""BM25 as an inner product of two sparse vectors, so that plain pgvector computes it.

A chunk's vector holds, per stem, everything that depends on the chunk; the query's vector holds
the stems' inverse document frequencies. Robertson and Zaragoza, "The Probabilistic Relevance
Framework: BM25 and Beyond", 2009. The average length is the one at the time of indexing.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence

DIMENSIONS = 1_000_000_000  # the most that sparsevec takes; 20,000 stems collide 0.2 times
MAX_STEMS = 16_000  # the most elements that sparsevec takes
K1 = 1.2
B = 0.75
COMMON_SHARE = 0.05  # stems in more chunks than this select nothing ...
COMMON_FROM_CHUNKS = 2000  # ... in collections where selecting everything would be slow


def document_vector(stems: Sequence[str], average_stems: float) -> dict[int, float]:
    """Return a chunk's weights by dimension."""
    norm = K1 * (1 - B + B * len(stems) / max(1.0, average_stems))
    weights: dict[int, float] = {}
    for stem, count in Counter(stems).most_common(MAX_STEMS):
        dimension = _dimension(stem)
        weights[dimension] = weights.get(dimension, 0.0) + count * (K1 + 1) / (count + norm)
    return weights


def query_vector(chunks_with: Mapping[str, int], chunks: int) -> dict[int, float]:
    """Return the inverse document frequencies of the stems by dimension."""
    return {_dimension(stem): rarity(count, chunks) for stem, count in chunks_with.items()}


def rarity(chunks_with: int, chunks: int) -> float:
    """Return a stem's inverse document frequency, which is never negative."""
    return math.log(1 + (chunks - chunks_with + 0.5) / (chunks_with + 0.5))


def selective(chunks_with: Mapping[str, int], chunks: int) -> list[str]:
    """Return the stems by which candidates are looked up: in large collections only rare ones."""
    if chunks < COMMON_FROM_CHUNKS or not chunks_with:
        return list(chunks_with)
    rare = [stem for stem, count in chunks_with.items() if count <= COMMON_SHARE * chunks]
    return rare or [min(chunks_with, key=lambda stem: chunks_with[stem])]


def _dimension(stem: str) -> int:
    digest = hashlib.blake2b(stem.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % DIMENSIONS
