"""Painters turn drawings into pictures; the only code of this service that knows torch."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL.Image import Image

from services.imagegen.values import Card, Drawing, Progress

Sources = Mapping[str, Image]
"""The pictures that the drawings' ingredients name."""


class DeviceError(Exception):
    """Not the fault of a drawing."""


class OutOfMemory(DeviceError):
    """The device's memory does not hold this batch."""


class DeviceLost(DeviceError):
    """The device is broken until the process is restarted."""


@dataclass(frozen=True)
class Painted:
    """A drawing's pictures, one per seed, and what their bytes depend on beside the drawing."""

    pictures: Sequence[Image]
    bucket: int
    is_tiled: bool = False

    @property
    def how(self) -> dict[str, Any]:
        """Return what the bytes depend on, for people who want the same again."""
        return {"bucket": self.bucket, "tiled": self.is_tiled}


@dataclass(frozen=True)
class Step:
    """What a step brought. Drawings go by their number: 0, 1, ... in the order of their coming."""

    progress: dict[int, Progress] = field(default_factory=dict)
    previews: dict[int, Image] = field(default_factory=dict)
    finished: dict[int, Painted] = field(default_factory=dict)
    failed: dict[int, Exception] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    """The pictures of each drawing in this pass."""
    bucket: int = 0
    room: int = 0
    """Slots that no drawing needs, now or in a step or two; so many pictures may join."""
    out_of_memory: int = 0
    """How often memory did not suffice, as far as the painter has dealt with it itself."""


@dataclass(frozen=True)
class Change:
    """What the painter shall do before its next step: forget drawings, take new ones in."""

    unwanted: Collection[int] = ()
    joining: Sequence[Drawing] = ()
    sources: Sources = field(default_factory=dict)


OnStep = Callable[[Step], Change]


class Painter(Protocol):
    """A painting model behind one blocking method, called by one thread at a time."""

    @property
    def card(self) -> Card:
        """Return what the model does by itself, and how many pictures at once."""
        ...

    def paint(self, drawings: Sequence[Drawing], sources: Sources, on_step: OnStep) -> None:
        """Paint drawings of one batch key until each is finished, failed or unwanted.

        Results are handed over by `on_step`, which is called after each step. A picture depends on
        its own drawing and the bucket only, never on the others, their order or when they join.
        Raises OutOfMemory when the batch has to begin again in a smaller bucket, or DeviceLost.
        """
        ...


def paint_all(
    painter: Painter, drawings: Sequence[Drawing], sources: Sources | None = None
) -> list[Painted]:
    """Paint these drawings and no others; raise what a drawing failed with."""
    finished: dict[int, Painted] = {}

    def on_step(step: Step) -> Change:
        for error in step.failed.values():
            raise error
        finished.update(step.finished)
        return Change()

    painter.paint(drawings, sources or {}, on_step)
    return [finished[number] for number in range(len(drawings))]
