"""When requests are due, whether or not earlier ones are answered."""

import random
from collections.abc import Callable, Iterator

SPIKE = 10.0
SPIKE_FROM, SPIKE_TO = 0.35, 0.6  # of the whole time
RAMP_FROM = 0.05
Pattern = Callable[[float], float]


def steady(_: float) -> float:
    """Return the share of the rate at a share of the time: always all of it."""
    return 1.0


def spike(part: float) -> float:
    """Ten times as much for a quarter of the time."""
    return SPIKE if SPIKE_FROM <= part < SPIKE_TO else 1.0


def ramp(part: float) -> float:
    """From next to nothing up to the whole rate, which is more than can be done."""
    return RAMP_FROM + (1 - RAMP_FROM) * part


PATTERNS: dict[str, Pattern] = {"steady": steady, "spike": spike, "ramp": ramp, "soak": steady}


def arrivals(pattern: str, rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Yield the seconds at which requests are due: a Poisson process, thinned to the pattern."""
    dice = random.Random(seed)
    share = PATTERNS[pattern]
    most = rate * (SPIKE if pattern == "spike" else 1.0)
    due = dice.expovariate(most)
    while due < seconds:
        if dice.random() < rate * share(due / seconds) / most:
            yield due
        due += dice.expovariate(most)
