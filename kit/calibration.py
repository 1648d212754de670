"""Time a model on a few batches of known shapes before it serves."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from kit.cost import Row

I = TypeVar("I")

MANY = 8  # items of a full batch in calibration: more would only take longer
ROUNDS = (2, 3)  # least and most; the fastest counts: an idle model is never too fast by chance
ENOUGH_SECONDS = 1.0


async def calibrate(
    timed: Callable[[list[I]], Awaitable[float]],
    sample: Sequence[I],
    tokens: Callable[[I], int],
    *,
    max_items: int,
    max_tokens: int,
) -> list[Row]:
    """Return what batches of the sample's shortest and longest input cost, alone and many at once.

    The first round also pays for the model's lazy allocations and does not count; slow models are
    timed in fewer rounds.
    """
    shortest, longest = min(sample, key=tokens), max(sample, key=tokens)
    shapes: dict[tuple[int, int], list[I]] = {}
    for value in (shortest, longest):
        length = max(1, tokens(value))
        for items in (1, max(1, min(MANY, max_items, max_tokens // length))):
            shapes[items, items * length] = [value] * items
    for values in shapes.values():
        await timed(values)
    least = dict.fromkeys(shapes, float("inf"))
    spent = 0.0
    for rounds in range(1, ROUNDS[1] + 1):
        for shape, values in shapes.items():
            took = await timed(values)
            least[shape] = min(least[shape], took)
            spent += took
        if rounds >= ROUNDS[0] and spent > ENOUGH_SECONDS:
            break
    return [(items, padded, seconds) for (items, padded), seconds in least.items()]
