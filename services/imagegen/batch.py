"""The jobs being painted, between the event loop and the painting thread."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from PIL.Image import Image

from services.imagegen import pictures
from services.imagegen.painters import Change, Painted, Painter, Sources, Step
from services.imagegen.values import Drawing, Job, Report


class Held:
    """The jobs that are ours, from their claim to their end.

    The loop writes; the painting thread only reads `ids`, which is replaced and never changed.
    """

    def __init__(self) -> None:
        self.ids: frozenset[str] = frozenset()
        self.moved = asyncio.Event()
        self._reports: dict[str, Report] = {}

    @property
    def jobs(self) -> list[Job]:
        """Return them all."""
        return [report.job for report in self._reports.values()]

    def add(self, jobs: Iterable[Job]) -> None:
        """Take claimed jobs in."""
        self._reports |= {job.id: Report(job=job, step=0, steps=job.drawing.steps) for job in jobs}
        self.ids = frozenset(self._reports)

    def drop(self, jobs: Iterable[Job]) -> None:
        """Let jobs go that have ended or are another worker's; a later claim of them stays."""
        for job in jobs:
            if self.report(job):
                del self._reports[job.id]
        self.ids = frozenset(self._reports)

    def cancel(self, job_id: str) -> None:
        """Let a job go that its tenant cancelled."""
        self._reports.pop(job_id, None)
        self.ids = frozenset(self._reports)

    def report(self, job: Job) -> Report | None:
        """Return how far a job is, or None when it is not ours."""
        report = self._reports.get(job.id)
        return report if report and report.job.generation == job.generation else None

    def note(self, reports: Iterable[Report]) -> None:
        """Remember how far jobs are, for the next `reports`; a preview waits until it is told."""
        for each in reports:
            if before := self.report(each.job):
                preview = each.preview or before.preview
                self._reports[each.job.id] = each.model_copy(update={"preview": preview})
        self.moved.set()

    def reports(self) -> list[Report]:
        """Return how far each job is, with each preview once."""
        reports = list(self._reports.values())
        self._reports |= {r.job.id: r.model_copy(update={"preview": None}) for r in reports}
        return reports


@dataclass(frozen=True)
class News:
    """What a step meant for the jobs; made in the painting thread, read by the loop."""

    seconds: float
    rows: int
    bucket: int
    pixel_steps: int
    reports: Sequence[Report]
    finished: Sequence[tuple[Job, Painted, float]]
    """With the seconds that went into it: its share of every pass."""
    failed: Sequence[tuple[Job, Exception]]
    wasted_seconds: float
    out_of_memory: int
    room: int
    has_more_room: bool = False


class Batch:
    """Jobs of one batch key on their way through a painter; others are invited while it paints."""

    def __init__(
        self, painter: Painter, held: Held, jobs: Sequence[Job], hear: Callable[[News], None]
    ) -> None:
        self.key = jobs[0].batch
        self.is_joinable = not any(job.losses for job in jobs)  # what may crash takes none along
        self.is_painting = False
        self._painter = painter
        self._held = held
        self._hear = hear
        self._loop = asyncio.get_running_loop()
        self._is_stopping = False
        self._inbox: deque[tuple[Job, Sources]] = deque()
        self._invited = self._room = 0
        # The rest belongs to the painting thread while it paints.
        self._accepted = self._number = self._pixels = 0
        self._jobs: dict[int, Job] = {}
        self._spent: dict[int, float] = {}
        self._last = 0.0

    @property
    def is_empty(self) -> bool:
        """Tell whether nobody waits to be painted."""
        return not self._inbox

    @property
    def room(self) -> int:
        """Return how many pictures can still be invited, all invitations so far counted."""
        return self._room - self._invited

    def invite(self, job: Job, sources: Sources) -> None:
        """Have a job painted from the next step on."""
        self._invited += job.drawing.count
        self._inbox.append((job, sources))

    def stop(self) -> None:
        """End the painting after the present step."""
        self._is_stopping = True

    def paint(self) -> None:
        """Paint those invited, and those invited meanwhile; runs in the painting thread."""
        self._jobs, self._spent, self._number = {}, {}, 0
        self._last = time.monotonic()
        drawings, sources = self._accept()
        width, height = self._painter.card.painted(drawings[0])
        self._pixels = width * height
        self._painter.paint(drawings, sources, self._on_step)

    def leave(self) -> tuple[list[Job], float]:
        """Return who was not painted to the end, and the seconds that went into them."""
        left = list(self._jobs.values()), sum(self._spent.values())
        self._jobs, self._spent = {}, {}
        return left

    def _accept(self) -> tuple[list[Drawing], Sources]:
        drawings: list[Drawing] = []
        sources: dict[str, Image] = {}
        while self._inbox:
            job, theirs = self._inbox.popleft()
            self._jobs[self._number] = job
            self._number += 1
            self._accepted += job.drawing.count
            drawings.append(job.drawing)
            sources |= theirs
        return drawings, sources

    def _on_step(self, step: Step) -> Change:
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        rows = sum(step.rows.values())
        for number, own in step.rows.items():
            self._spent[number] = self._spent.get(number, 0.0) + seconds * own / rows
        reports = [self._report(number, step) for number in step.progress]
        finished = [
            (self._jobs.pop(number), painted, self._spent.pop(number))
            for number, painted in step.finished.items()
        ]
        failed = [(self._jobs.pop(number), error) for number, error in step.failed.items()]
        unwanted = self._unwanted()
        wasted = sum(self._spent.pop(number, 0.0) for number in (*unwanted, *step.failed))
        news = News(
            seconds=seconds,
            rows=rows,
            bucket=step.bucket,
            pixel_steps=rows * self._pixels,
            reports=reports,
            finished=finished,
            failed=failed,
            wasted_seconds=wasted,
            out_of_memory=step.out_of_memory,
            room=step.room + self._accepted,
        )
        self._loop.call_soon_threadsafe(self._tell, news)
        return Change(unwanted) if self._is_stopping else Change(unwanted, *self._accept())

    def _unwanted(self) -> list[int]:
        """Return the numbers of those to forget; when stopping all, but to be handed back."""
        if self._is_stopping:
            return list(self._jobs)
        held = self._held.ids
        numbers = [number for number, job in self._jobs.items() if job.id not in held]
        for number in numbers:
            del self._jobs[number]
        return numbers

    def _report(self, number: int, step: Step) -> Report:
        preview = step.previews.get(number)
        return Report(
            job=self._jobs[number],
            preview=pictures.data_url(preview) if preview else None,
            **step.progress[number].model_dump(),
        )

    def _tell(self, news: News) -> None:
        grown = news.room > self._room
        self._room = news.room
        self._hear(replace(news, has_more_room=grown))
