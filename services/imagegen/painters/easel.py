"""The engine of all painters: a fixed number of slots, one picture in each, one step at a time.

Every pass has all slots, those that are empty filled up with a copy of another, because kernels
round differently for other batch sizes. So a picture's bytes do not depend on company, and pictures
of different prompts, samplers and numbers of steps come and go at any step.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

from services.imagegen.painters import OnStep, OutOfMemory, Sources
from services.imagegen.painters.ladder import Ladder
from services.imagegen.painters.slots import Model, Row, Slots
from services.imagegen.values import Card, Drawing

R = TypeVar("R", bound=Row)


class Easel(Generic[R]):
    """A Painter out of any Model."""

    def __init__(self, model: Model[R], slots: int) -> None:
        self.model = model
        self._slots = slots
        self._ladder = Ladder(model.card, slots)

    @property
    def card(self) -> Card:
        """Return the model's card with the engine's part filled in."""
        return self.model.card.model_copy(
            update={"slots": self._slots, "limits": self._ladder.limits}
        )

    def paint(self, drawings: Sequence[Drawing], sources: Sources, on_step: OnStep) -> None:
        """Paint step after step; see Painter."""
        slots = Slots(self.model, self._ladder, drawings[0])
        slots.add(drawings, sources)
        while slots.is_busy:
            try:
                slots.fill()
                slots.advance()
            except OutOfMemory as error:
                if self._ladder.halve(drawings[0]):
                    raise  # half painted in one bucket and half in another is no picture of either
                slots.fail(slots.first, error)
            slots.take_down()
            change = on_step(slots.report())
            slots.remove(change.unwanted)
            slots.add(change.joining, change.sources)
