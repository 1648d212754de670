"""What stands in Redis, as values."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.imagegen.values import Drawing, Event, Job, Report, Status, StoredPicture


@dataclass(frozen=True)
class Totals:
    """How much of everything there is; `lost` and `refused` only ever grow."""

    jobs: Mapping[str, int]
    backlog_pixel_steps: int
    rate: float
    lost: int
    refused: int

    @classmethod
    def of(cls, counts: Mapping[str, str], dead: int, rate: float) -> "Totals":
        """Read the counters."""
        numbers = {name: int(value) for name, value in counts.items()}
        states = {status.value: numbers.get(status, 0) for status in Status} | {"dead": dead}
        backlog = sum(numbers.get(f"{state}_cost", 0) for state in ("waiting", "painting"))
        return cls(states, backlog, rate, numbers.get("lost", 0), numbers.get("refused", 0))

    @property
    def backlog_seconds(self) -> float:
        """Return the time that all workers together need for what waits and is painted."""
        return self.backlog_pixel_steps / self.rate if self.rate else 0.0


def fields_of(flat: Sequence[str]) -> dict[str, str]:
    """Read a hash as scripts return it: names and values in turn."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def job_of(fields: Mapping[str, str]) -> Job:
    """Read a job's hash."""
    pictures = json.loads(fields.get("pictures", "[]"))
    return Job(
        id=fields["id"],
        tenant=fields["tenant"],
        drawing=Drawing.model_validate_json(fields["drawing"]),
        warnings=tuple(json.loads(fields.get("warnings", "[]"))),
        status=Status(fields["status"]),
        batch=fields["batch"],
        generation=int(fields["generation"]),
        losses=int(fields.get("losses", 0)),
        created_at=int(fields["created"]) / 1000,
        claimed_at=int(fields.get("claimed", 0)) / 1000,
        request_id=fields.get("request", ""),
        traceparent=fields.get("traceparent", ""),
        step=int(fields.get("step", 0)),
        steps=int(fields.get("steps", 0)),
        pictures=tuple(StoredPicture(**picture) for picture in pictures),
        error=fields.get("error"),
    )


def job_in_place(view: Sequence[Any]) -> Job:
    """Read a script's view of a job: its hash, the jobs ahead of it, and the seconds to its end."""
    flat, jobs_ahead, seconds = view
    job = job_of(fields_of(flat))
    position = int(jobs_ahead) + 1 if job.status is Status.WAITING else None
    eta = round(float(seconds), 1) if seconds else None
    return job.model_copy(update={"position": position, "eta_seconds": eta})


def report_parts(report: Report) -> tuple[str | int, ...]:
    """Return what renew.lua takes for each job."""
    shown = {"step": report.step, "image": report.preview}
    preview = json.dumps(shown) if report.preview else ""
    return report.job.id, report.job.generation, report.step, report.steps, preview


def events_of(answer: Any) -> list[Event]:
    """Read what XREAD answered for one stream."""
    return [
        Event(id=entry_id, kind=fields["kind"], data=json.loads(fields["data"]))
        for _, entries in _streams(answer)
        for entry_id, fields in entries
    ]


def _streams(answer: Any) -> Iterable[tuple[str, Any]]:
    return answer.items() if isinstance(answer, dict) else answer or ()
