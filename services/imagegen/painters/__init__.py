"""Painters turn drawings into pictures; the only code of this service that knows torch."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from PIL.Image import Image

from services.imagegen.schemas import Card, Drawing

OnStep = Callable[[int, int], Collection[int]]
"""Called after each step with steps done and steps in all; returns the indices of the drawings
that nobody wants any more."""


class OutOfMemory(Exception):
    """The device's memory does not hold this batch."""


class DeviceLost(Exception):
    """The device is broken until the process is restarted."""


class Painter(Protocol):
    """A painting model behind one blocking method, called by one thread at a time."""

    card: Card

    def paint(
        self, drawings: Sequence[Drawing], sources: dict[str, Image], on_step: OnStep
    ) -> list[list[Image]]:
        """Return each drawing's pictures, one per seed; none for a drawing that became unwanted.

        `sources` holds the pictures that the ingredients name. A picture depends on its own
        drawing only, never on the others or their order. Raises OutOfMemory or
        DeviceLost.
        """
        ...
