"""The jobs being painted, shared by the event loop and the painting thread."""

import asyncio
import time
from collections.abc import Collection, Iterable, Sequence

from services.imagegen.painters import OnStep
from services.imagegen.schemas import Job


class Batch:
    """Which jobs are still ours and how far they are.

    The loop writes, the painting thread only reads one set and posts its progress.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._loop = asyncio.get_running_loop()
        self._held = frozenset(job.id for job in jobs)
        self._is_stopping = False
        self.jobs = list(jobs)
        self.step = self.steps = 0
        self.moved = asyncio.Event()
        self.step_seconds: list[float] = []

    def holds(self, job: Job) -> bool:
        """Tell whether the job is ours: neither cancelled nor lost."""
        return job.id in self._held

    @property
    def held(self) -> list[Job]:
        """Return the jobs that are still ours."""
        return [job for job in self.jobs if self.holds(job)]

    def drop(self, job_id: str) -> None:
        """Say that a job was cancelled."""
        self._held -= {job_id}

    def keep(self, job_ids: Iterable[str]) -> None:
        """Say which jobs are still ours."""
        self._held &= frozenset(job_ids)

    def stop(self) -> None:
        """End the painting after the present step."""
        self._is_stopping = True

    def watch(self, jobs: Sequence[Job]) -> OnStep:
        """Return what the painter calls after each step while it paints these jobs."""
        ids = [job.id for job in jobs]
        last = time.monotonic()

        def on_step(step: int, steps: int) -> Collection[int]:
            nonlocal last
            now = time.monotonic()
            self._loop.call_soon_threadsafe(self._advance, step, steps, now - last)
            last = now
            held = frozenset[str]() if self._is_stopping else self._held
            return [n for n, job_id in enumerate(ids) if job_id not in held]

        return on_step

    def _advance(self, step: int, steps: int, seconds: float) -> None:
        self.step, self.steps = step, steps
        self.step_seconds.append(seconds)
        self.moved.set()
