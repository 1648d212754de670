"""Whether a search by meaning reads every vector it may find, or walks the index.

The index knows nothing of tenants and filters: it walks from near to far through everybody's
vectors and drops what may not be seen. For a share of 10 % it goes ten times as far; for one of 1 %
it gives up before it has found the nearest. Reading all eligible vectors is quick while they are
few, and misses none. `benchmarks/rag_recall.py` measures both: at 200,000 vectors they take about
the same time at a tenth, where the walk finds 97 of 100.
"""

import math

SMALL_ROWS = 3_000  # read in a millisecond or two, whatever the share
LARGE_ROWS = 100_000  # read in tens of milliseconds: longer than a walk takes that gives up
ROWS_PER_STEP = 1_300  # reading so many takes as long as the walk does, times the share


def most_exact(total: int) -> int:
    """Return how many eligible vectors to read whole, of so many that the index holds.

    Reading costs as much as there are; walking costs the more, the smaller their share is. Both are
    equal where eligible times share is constant.
    """
    return max(SMALL_ROWS, min(LARGE_ROWS, math.isqrt(ROWS_PER_STEP * total)))
