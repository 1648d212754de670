"""Jobs: what the API and the workers do with the queue."""

import json
import math
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from kit.errors import Conflict, NotFound, NotReady, Overloaded
from services.imagegen.queue.connection import translated
from services.imagegen.schemas import Card, Drawing, Event, Job, Report, Status, StoredPicture
from services.imagegen.settings import Settings

PREFIX = "{imagegen}"
FOLDER = Path(__file__).parent / "scripts"
COMMON = (FOLDER / "common.lua").read_text()
NAMES = ("submit", "claim", "renew", "finish", "release", "cancel", "sweep", "look", "rate")
SCRIPTS = {name: COMMON + (FOLDER / f"{name}.lua").read_text() for name in NAMES}
SWEEP_LIMIT = 100
EVENTS_BLOCK_MS = 1000
REFUSALS = {
    "full": "The queue is full.",
    "tenant_full": "This tenant has too many waiting jobs.",
    "late": "The job cannot be done before its deadline.",
}


@dataclass(frozen=True)
class Totals:
    """How much of everything there is."""

    jobs: Mapping[str, int]
    backlog_pixel_steps: int
    rate: float

    @property
    def backlog_seconds(self) -> float:
        """Return the time that all workers together need for what waits and is painted."""
        return self.backlog_pixel_steps / self.rate if self.rate else 0.0


class Jobs:
    """The queue. Every change is one script, so nothing is ever half done.

    An acknowledged job is never lost; its result becomes visible once; tenants share by cost;
    the last sign of a stale worker is refused. Raises NotReady when Redis is away.
    """

    def __init__(self, client: Redis, settings: Settings) -> None:
        self._redis = client
        self._settings = settings
        self._scripts: dict[str, AsyncScript] = {
            name: client.register_script(source) for name, source in SCRIPTS.items()
        }

    async def submit(
        self,
        job_id: str,
        tenant: str,
        drawing: Drawing,
        *,
        card: Card,
        priority: int = 0,
        deadline_seconds: float | None = None,
        idempotency: tuple[str, str] = ("", ""),
    ) -> str:
        """Put a drawing into the queue; return the job's id, an older one for a known key.

        `idempotency` is the client's key and the request's digest. Raises Overloaded with the
        time to wait, or Conflict when the key was used for another request.
        """
        limits = self._settings
        verdict, answer = await self._call(
            "submit",
            *(job_id, tenant, *idempotency, drawing.model_dump_json(), card.batch_key(drawing)),
            *(card.pixel_steps(drawing), drawing.count, priority),
            *(limits.result_ttl_seconds, limits.max_wait_seconds * 1000),
            deadline_seconds or limits.max_wait_seconds,
            *(limits.max_backlog_seconds, limits.max_waiting_per_tenant),
        )
        if verdict == "conflict":
            raise Conflict("This Idempotency-Key was used for a different request.")
        if verdict in REFUSALS:
            raise Overloaded(REFUSALS[verdict], retry_after_seconds=float(answer))
        return str(answer)

    async def claim(self, max_pictures: int, joining: str = "") -> list[Job]:
        """Take compatible jobs of up to `max_pictures` pictures, or one larger job alone.

        With the key of a batch that is being painted, take what may join it: nothing larger,
        nothing that has cost a worker, and only as long as it is that key's turn.
        """
        taken = await self._call("claim", max_pictures, self._lease_ms, joining)
        return [_job(_pairs(fields)) for fields in taken]

    async def renew(self, reports: Sequence[Report]) -> set[str]:
        """Keep the leases and publish how far each job is; return the ids that are still ours."""
        parts = [part for report in reports for part in _report(report)]
        return set(await self._call("renew", self._lease_ms, *parts))

    async def finish(self, job: Job, pictures: Sequence[StoredPicture]) -> bool:
        """Make the pictures visible; return False when the job is no longer ours."""
        value = json.dumps([picture.model_dump() for picture in pictures])
        done = await self._call("finish", job.id, job.generation, "done", "pictures", value)
        return bool(done)

    async def fail(self, job: Job, reason: str) -> bool:
        """End the job with a reason for its tenant; return False when it is no longer ours."""
        failed = await self._call("finish", job.id, job.generation, "failed", "error", reason)
        return bool(failed)

    async def release(self, job: Job, reason: str = "") -> bool:
        """Hand the job back; a reason charges it with a failed attempt."""
        limit = self._settings.max_losses
        return bool(await self._call("release", job.id, job.generation, limit, reason))

    async def cancel(self, job_id: str, tenant: str) -> Job:
        """Cancel a job that is not finished; return it as it is now."""
        await self.look(job_id, tenant)
        await self._call("cancel", job_id)
        return await self.look(job_id, tenant)

    async def look(self, job_id: str, tenant: str) -> Job:
        """Return the tenant's job with its place in the queue; raise NotFound for all others."""
        seen = await self._call("look", job_id)
        if not seen:
            raise NotFound("There is no such job, or it has expired.")
        job = _job(_pairs(seen[0]))
        if job.tenant != tenant:
            raise NotFound("There is no such job, or it has expired.")
        return _placed(job, int(seen[1]), float(seen[2]), float(seen[3]))

    async def sweep(self) -> list[str]:
        """Requeue jobs of lost workers; return TENANT/ID of jobs whose files may be deleted."""
        with translated():
            server: Mapping[str, Any] = await self._redis.info("server")
        # While Redis was away no lease could be renewed: give every worker one lease to report.
        valid = int(server["uptime_in_seconds"]) >= self._settings.lease_seconds
        limits = (SWEEP_LIMIT, self._settings.max_losses)
        return list(await self._call("sweep", *limits, int(valid)))

    async def forget(self, tenant_and_id: str) -> None:
        """Say that the job's stored files are gone."""
        with translated():
            await self._redis.zrem(_key("expiring"), tenant_and_id)

    async def expect_files(self, tenant: str, job_id: str) -> None:
        """Have files of a job that is not submitted yet deleted some time, whatever happens."""
        ends_at = time.time() + self._settings.max_wait_seconds + self._settings.result_ttl_seconds
        with translated():
            await self._redis.zadd(_key("expiring"), {f"{tenant}/{job_id}": int(ends_at * 1000)})

    async def events(self, job_id: str, after: str) -> list[Event]:
        """Wait up to a second for events after the given id."""
        with translated():
            answer: Any = await self._redis.xread(
                {_key("events", job_id): after}, count=100, block=EVENTS_BLOCK_MS
            )
        entries = [entry for _, entries in _streams(answer) for entry in entries]
        return [
            Event(id=entry_id, kind=fields["kind"], data=json.loads(fields["data"]))
            for entry_id, fields in entries
        ]

    async def wakes(self) -> AsyncIterator[str]:
        """Yield `job` when one is queued and a job's id when it is cancelled; may miss some."""
        async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            with translated():
                await channel.subscribe(_key("wake"))
            while True:
                with translated():
                    message = await channel.get_message(timeout=1.0)
                if message:
                    yield str(message["data"])

    async def report(self, worker: str, card: Card, rate: float) -> None:
        """Give a sign of life with the model's card and the measured pixel-steps per second."""
        with translated():
            async with self._redis.pipeline(transaction=True) as batch:
                batch.zadd(_key("workers"), {worker: await self._now_ms()})
                batch.hset(_key("rates"), worker, str(rate))
                batch.hset(
                    _key("model"), mapping={"card": card.model_dump_json(), "rate": str(rate)}
                )
                await batch.execute()

    async def sign_off(self, worker: str) -> None:
        """Say that a worker ends as it should."""
        with translated():
            async with self._redis.pipeline(transaction=True) as batch:
                batch.zrem(_key("workers"), worker)
                batch.hdel(_key("rates"), worker)
                await batch.execute()

    async def card(self) -> Card:
        """Return the card of the painting model; raise NotReady before the first worker's report."""
        with translated():
            found = await self._redis.hget(_key("model"), "card")
        if found is None:
            raise NotReady("No worker has reported its model yet.")
        return Card.model_validate_json(found)

    async def heartbeat_age_seconds(self) -> float:
        """Return the time since the last sign of life of any worker; infinite without workers."""
        with translated():
            newest: Any = await self._redis.zrange(_key("workers"), -1, -1, withscores=True)
            now_ms = await self._now_ms()
        return max(0.0, now_ms - newest[0][1]) / 1000 if newest else math.inf

    async def totals(self) -> Totals:
        """Return jobs per state, the backlog's cost and the rate at which it shrinks."""
        with translated():
            counts: Any = await self._redis.hgetall(_key("totals"))
            dead = await self._redis.zcard(_key("dead"))
        rate = float(await self._call("rate"))
        states = {status.value: int(counts.get(status, 0)) for status in Status} | {"dead": dead}
        backlog = sum(int(counts.get(f"{state}_cost", 0)) for state in ("waiting", "painting"))
        return Totals(states, backlog, rate)

    async def ping(self) -> None:
        """Raise NotReady when Redis does not answer."""
        with translated():
            await self._redis.ping()

    @property
    def _lease_ms(self) -> int:
        return int(self._settings.lease_seconds * 1000)

    async def _now_ms(self) -> int:
        seconds, microseconds = await self._redis.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def _call(self, script: str, *arguments: Any) -> Any:
        with translated():
            return await self._scripts[script](keys=[PREFIX], args=arguments)


def _key(*parts: str) -> str:
    return ":".join((PREFIX, *parts))


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _streams(answer: Any) -> Iterable[tuple[str, Any]]:
    return answer.items() if isinstance(answer, dict) else answer or ()


def _job(fields: Mapping[str, str]) -> Job:
    pictures = json.loads(fields.get("pictures", "[]"))
    return Job(
        id=fields["id"],
        tenant=fields["tenant"],
        drawing=Drawing.model_validate_json(fields["drawing"]),
        status=Status(fields["status"]),
        batch=fields["batch"],
        generation=int(fields["generation"]),
        queued_seconds=max(0, int(fields.get("claimed", 0)) - int(fields["created"])) / 1000,
        step=int(fields.get("step", 0)),
        steps=int(fields.get("steps", 0)),
        pictures=tuple(StoredPicture(**picture) for picture in pictures),
        error=fields.get("error"),
    )


def _report(report: Report) -> tuple[str | int, ...]:
    shown = {"step": report.step, "image": report.preview}
    preview = json.dumps(shown) if report.preview else ""
    return report.job.id, report.job.generation, report.step, report.steps, preview


def _placed(job: Job, jobs_ahead: int, cost: float, rate: float) -> Job:
    if job.status.is_final:
        return job
    eta = round(cost / rate, 1) if rate else None
    position = jobs_ahead + 1 if job.status is Status.WAITING else None
    return job.model_copy(update={"position": position, "eta_seconds": eta})
