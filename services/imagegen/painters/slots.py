"""The places of a batch, the pictures in them, and the drawings that wait for one."""

import time
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from PIL.Image import Image

from services.imagegen.painters import (
    DeviceError,
    DeviceLost,
    OutOfMemory,
    Painted,
    Sources,
    Step,
)
from services.imagegen.painters.ladder import Ladder
from services.imagegen.values import Card, Drawing, Progress

PREVIEW_SECONDS = 0.5
# Steps before its end at which a slot is offered: who is asked then is there in time.
OFFERED_EARLY = 2


class Row(Protocol):
    """One picture on its way, with all that it needs: latents, conditions, scheduler, noise."""

    @property
    def steps_left(self) -> int:
        """Return how many steps it still has to do."""
        ...

    def advance(self, noise: Any) -> None:
        """Go one step on with the noise that the model predicted for this row."""
        ...


R = TypeVar("R", bound=Row)


class Model(Protocol[R]):
    """What differs between models. Every method may raise OutOfMemory or DeviceLost."""

    card: Card

    def prepare(self, drawing: Drawing, seed: int, sources: Sources) -> R:
        """Return the row of one picture, before its first step."""
        ...

    def predict(self, rows: Sequence[R]) -> Iterable[Any]:
        """Return each row's noise from one pass over all; a row may stand there several times."""
        ...

    def decode(self, row: R, is_tiled: bool) -> Image:
        """Return the finished row's picture; in tiles it takes less memory and has other bytes."""
        ...

    def preview(self, row: R) -> Image:
        """Return a small picture of where the row is going after its last step."""
        ...


@dataclass
class Canvas:
    """A drawing on its way."""

    number: int
    drawing: Drawing
    sources: Sources
    steps_done: int = 0
    seen_at: float = field(default_factory=time.monotonic)
    pictures: dict[int, Image] = field(default_factory=dict)  # by seed
    is_tiled: bool = False

    @property
    def is_finished(self) -> bool:
        """Tell whether all its pictures are there."""
        return len(self.pictures) == self.drawing.count

    @property
    def progress(self) -> Progress:
        """Return how far its pictures are on average."""
        steps = self.drawing.steps - self.drawing.first_step
        return Progress(step=min(steps, self.steps_done // self.drawing.count), steps=steps)


@dataclass
class Slot(Generic[R]):
    """A picture in its place."""

    canvas: Canvas
    seed: int
    row: R


class Slots(Generic[R]):
    """A fixed number of places; an empty one stands in every pass as a copy of another."""

    def __init__(self, model: Model[R], ladder: Ladder, drawing: Drawing) -> None:
        self.bucket = ladder.bucket(drawing)
        self._model = model
        self._ladder = ladder
        self._places: list[Slot[R] | None] = [None] * self.bucket
        self._waiting: deque[tuple[Canvas, int]] = deque()
        self._number = self._shortages = 0
        self._step = Step()

    @property
    def is_busy(self) -> bool:
        """Tell whether anything is left to paint."""
        return bool(self._waiting or self._taken)

    @property
    def first(self) -> Canvas:
        """Return a drawing in a slot, or the one that is next to have one."""
        return self._taken[0].canvas if self._taken else self._waiting[0][0]

    def add(self, drawings: Iterable[Drawing], sources: Sources) -> None:
        """Let drawings wait for slots; their numbers go on from the last."""
        for drawing in drawings:
            canvas = Canvas(self._number, drawing, sources)
            self._waiting.extend((canvas, seed) for seed in drawing.seeds)
            self._number += 1

    def remove(self, numbers: Collection[int]) -> None:
        """Forget drawings and free their slots."""
        self._waiting = deque(item for item in self._waiting if item[0].number not in numbers)
        for n, slot in enumerate(self._places):
            if slot and slot.canvas.number in numbers:
                self._places[n] = None

    def fail(self, canvas: Canvas, error: Exception) -> None:
        """Give a drawing up."""
        self._shortages += isinstance(error, OutOfMemory)
        self._step.failed[canvas.number] = error
        self.remove([canvas.number])

    def fill(self) -> None:
        """Put what waits into free slots."""
        while self._waiting and None in self._places:
            canvas, seed = self._waiting[0]
            with self._blaming(canvas):
                row = self._model.prepare(canvas.drawing, seed, canvas.sources)
                self._places[self._places.index(None)] = Slot(canvas, seed, row)
                self._waiting.popleft()

    def advance(self) -> None:
        """Do one pass and go one step on with every picture."""
        self._step.rows.update(Counter(slot.canvas.number for slot in self._taken))
        for slot, noise in self._predicted():
            with self._blaming(slot.canvas):
                slot.row.advance(noise)
                slot.canvas.steps_done += 1
                self._step.progress[slot.canvas.number] = slot.canvas.progress

    def take_down(self) -> None:
        """Decode finished pictures one by one, so that none depends on which end together."""
        for n, slot in enumerate(self._places):
            if slot is None or slot.row.steps_left:
                continue
            canvas = slot.canvas
            with self._blaming(canvas, but=DeviceLost):
                canvas.pictures[slot.seed] = self._decode(canvas, slot.row)
                if canvas.is_finished:
                    self._step.finished[canvas.number] = Painted(
                        [canvas.pictures[seed] for seed in canvas.drawing.seeds],
                        self.bucket,
                        canvas.is_tiled,
                    )
            self._places[n] = None

    def report(self) -> Step:
        """Return what has happened since the last report."""
        self._look_at_each()
        ending = sum(slot.row.steps_left <= OFFERED_EARLY for slot in self._taken)
        room = max(0, self._places.count(None) + ending - len(self._waiting))
        step, self._step = self._step, Step()
        shortages, self._shortages = self._shortages, 0
        return replace(step, bucket=self.bucket, room=room, out_of_memory=shortages)

    def _predicted(self) -> list[tuple[Slot[R], Any]]:
        """Pair pictures with their noise; when the pass fails, find out by whose fault."""
        if not self._taken:
            return []
        rows = [(slot or self._taken[0]).row for slot in self._places]
        try:
            noises = self._model.predict(rows)
            return [(slot, noise) for slot, noise in zip(self._places, noises, strict=True) if slot]
        except DeviceError:
            raise
        except Exception:  # noqa: BLE001 - one of them is to blame, the others go on
            return [pair for n in range(self.bucket) for pair in self._predicted_alone(n)]

    def _predicted_alone(self, place: int) -> Iterator[tuple[Slot[R], Any]]:
        """Do a pass for one picture, which gives it the same noise as in company."""
        slot = self._places[place]
        if slot is not None:
            with self._blaming(slot.canvas):
                yield slot, list(self._model.predict([slot.row] * self.bucket))[place]

    def _decode(self, canvas: Canvas, row: R) -> Image:
        canvas.is_tiled |= self._ladder.is_tiled(canvas.drawing)
        try:
            return self._model.decode(row, canvas.is_tiled)
        except OutOfMemory:
            if not self._ladder.tile(canvas.drawing):
                raise
        self._shortages += 1
        return self._decode(canvas, row)

    def _look_at_each(self) -> None:
        """Add a preview of a drawing's first picture in a slot, now and then."""
        now = time.monotonic()
        for slot in self._taken:
            if now - slot.canvas.seen_at >= PREVIEW_SECONDS:
                slot.canvas.seen_at = now
                with self._blaming(slot.canvas, but=DeviceLost):
                    self._step.previews[slot.canvas.number] = self._model.preview(slot.row)

    @contextmanager
    def _blaming(self, canvas: Canvas, but: type[Exception] = DeviceError) -> Iterator[None]:
        """Let what goes wrong fail this drawing, and no other."""
        try:
            yield
        except but:
            raise
        except Exception as error:  # noqa: BLE001 - this drawing fails, the others go on
            self.fail(canvas, error)

    @property
    def _taken(self) -> list[Slot[R]]:
        return [slot for slot in self._places if slot]
