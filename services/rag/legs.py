"""What each way of searching found, and one order made of both."""

from collections.abc import Sequence
from dataclasses import dataclass, field

Place = tuple[str, int]
"""A chunk within its collection: document and position."""

RECIPROCAL_K = 60  # Cormack, Clarke and Buettcher 2009, "Reciprocal rank fusion"


@dataclass(frozen=True)
class Leg:
    """What one way of searching found, best first."""

    places: Sequence[Place]
    scores: Sequence[float]
    ranks: dict[Place, int] = field(init=False)

    def __post_init__(self) -> None:
        """Count the ranks once, from 1."""
        object.__setattr__(
            self, "ranks", {place: rank for rank, place in enumerate(self.places, 1)}
        )

    def at(self, place: Place) -> tuple[int | None, float | None]:
        """Return the place's rank, from 1, and its score."""
        rank = self.ranks.get(place)
        return (None, None) if rank is None else (rank, self.scores[rank - 1])


NOTHING = Leg([], [])
Fused = list[tuple[Place, float]]


def by_shares(dense: Leg, keyword: Leg, dense_weight: float) -> Fused:
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
    return _best_first(scores)


def by_ranks(dense: Leg, keyword: Leg, dense_weight: float) -> Fused:
    """Add the legs' reciprocal ranks, scaled so that first places in both make 1."""
    most = ((dense_weight if dense.places else 0.0) + (1.0 if keyword.places else 0.0)) / (
        RECIPROCAL_K + 1
    )
    scores: dict[Place, float] = {}
    for leg, weight in ((dense, dense_weight), (keyword, 1.0)):
        for place, rank in leg.ranks.items():
            scores[place] = scores.get(place, 0.0) + weight / (RECIPROCAL_K + rank) / most
    return _best_first(scores)


def _best_first(scores: dict[Place, float]) -> Fused:
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
