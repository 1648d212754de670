"""Whether a search by meaning reads every vector it may find, or walks the index.

The index knows nothing of tenants and filters: it walks from near to far through everybody's
vectors and drops what may not be seen. Of a small share it finds little and late, however long it
walks; reading such a share whole is quick and misses nothing. Measured by `benchmarks/rag_recall.py`.
"""

from dataclasses import dataclass

EXACT_ROWS = 10_000  # so many are read in about the time that the index needs for a share of 1 %
LEAST_SHARE = 0.02  # of which the index finds enough before it gives up ...
MOST_EXACT_ROWS = 100_000  # ... unless reading it takes too long
ROOMY_SHARE = 0.25  # at such a share the index drops so little ...
ROOMY_ROWS = 2_000  # ... that it is quicker from here on


@dataclass(frozen=True)
class Reach:
    """How many vectors a search may find, of how many that the index holds."""

    eligible: int
    total: int

    @property
    def share(self) -> float:
        """Return what part of the index may be found."""
        return min(1.0, self.eligible / max(1, self.total))


def is_exact(reach: Reach) -> bool:
    """Tell whether to read all eligible vectors rather than to walk the index."""
    if reach.share >= ROOMY_SHARE:
        return reach.eligible <= ROOMY_ROWS
    if reach.share < LEAST_SHARE:
        return reach.eligible <= MOST_EXACT_ROWS
    return reach.eligible <= EXACT_ROWS
