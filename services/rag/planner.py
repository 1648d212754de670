"""Whether a search by meaning reads every vector it may find, or walks the index.

The index knows nothing of tenants and filters: it walks from near to far through everybody's
vectors and drops what may not be seen. For a share of 10 % it goes ten times as far; for one of 1 %
it gives up before it has found the nearest. Reading all eligible vectors is quick while they are
few, and misses none. `benchmarks/rag_recall.py` measures both: at 200,000 vectors they take the
same time at about 8 %, and from 10 % on the walk finds 97 of 100.
"""

import math
from dataclasses import dataclass

SMALL_ROWS = 3_000  # read in a millisecond or two, whatever the share
LARGE_ROWS = 100_000  # read in tens of milliseconds: longer than a walk takes that gives up
ROWS_PER_STEP = 1_300  # reading so many takes as long as the walk does, times the share


@dataclass(frozen=True)
class Reach:
    """How many vectors a search may find, of how many that the index holds."""

    eligible: int
    total: int


def is_exact(reach: Reach) -> bool:
    """Tell whether to read all eligible vectors rather than to walk the index.

    Reading costs as much as there are; walking costs the more, the smaller their share is. Both are
    equal where eligible times share is constant.
    """
    even = math.sqrt(ROWS_PER_STEP * max(reach.eligible, reach.total))
    return reach.eligible <= max(SMALL_ROWS, min(LARGE_ROWS, even))
