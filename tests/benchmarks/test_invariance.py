"""The check for graphics cards sees what it is there to see."""

from collections.abc import Sequence

from benchmarks.invariance import measure, wishes
from tests.imagegen.fakes import CARD, PlainModel, PlainPainter, PlainRow

WISHES = wishes(CARD, 8, steps=6)


def test_it_passes_a_painter_that_keeps_the_promise() -> None:
    results = measure(PlainPainter(), WISHES, trials=5)
    assert results["compared"] > 20
    assert results["different"] == 0


class Leaky(PlainModel):
    """Lets the first of a pass shine through the others."""

    def predict(self, rows: Sequence[PlainRow]) -> list[None]:
        for row in rows:
            row.seed = max(row.seed, rows[0].seed)
        return super().predict(rows)


def test_it_sees_a_painter_that_does_not() -> None:
    results = measure(PlainPainter(model=Leaky()), WISHES, trials=5)
    assert 0 < results["different"] <= results["compared"]
    assert results["largest_difference"] > 0
