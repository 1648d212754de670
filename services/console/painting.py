"""How far a picture is, told from a job's events."""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

from services.console.client import OVER, Event


@dataclass(frozen=True)
class Painting:
    """A picture on its way; `at` is a time on a monotonic clock, in seconds."""

    at: float
    job_id: str = ""
    status: str = "starting"
    place: int | None = None
    step: int = 0
    steps: int = 0
    preview: str = ""
    promised_seconds: float | None = None
    """What the queue estimated when it took the job."""
    first_step_at: float | None = None
    first_step: int = 0

    def after(self, event: Event, now: float) -> Self:
        """Return what is known after one more event; unknown ones change nothing."""
        name, data = event
        if name == "preview":
            return self._seen(data, now)
        if name in ("progress", "waiting", "painting", *OVER):
            told = replace(self, status=str(data.get("status") or self._status_of(name)))
            return told._with_job(data, now)._seen(data.get("progress") or data, now)
        return self

    def _status_of(self, name: str) -> str:
        return "painting" if name == "progress" else name

    def _with_job(self, data: dict[str, Any], now: float) -> Self:
        if "id" not in data:
            return self
        eta = data.get("eta_seconds")
        return replace(
            self,
            at=now,
            job_id=str(data["id"]),
            place=data.get("position"),
            promised_seconds=None if eta is None else float(eta),
        )

    def _seen(self, data: dict[str, Any], now: float) -> Self:
        step, steps = int(data.get("step") or 0), int(data.get("steps") or self.steps)
        preview = str(data.get("image") or self.preview)
        if step <= self.step:
            return replace(self, steps=steps, preview=preview)
        first_at, first = self.first_step_at, self.first_step
        if first_at is None:
            first_at, first = now, step
        return replace(
            self,
            status="painting",
            place=None,
            step=step,
            steps=steps,
            preview=preview,
            first_step_at=first_at,
            first_step=first,
        )

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more will come."""
        return self.status in OVER

    def seconds_left(self, now: float) -> int | None:
        """Estimate what is left: by the pace of the steps, before two of them by the promise."""
        done = self.step - self.first_step
        if self.first_step_at is not None and done > 0:
            pace = (now - self.first_step_at) / done
            return math.ceil(pace * (self.steps - self.step))
        if self.promised_seconds is None:
            return None
        return max(1, math.ceil(self.promised_seconds - (now - self.at)))
