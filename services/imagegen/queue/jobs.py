"""Jobs: what the API and the workers do with the queue."""

import json
import math
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import structlog
from redis.asyncio import Redis

from kit import logs
from kit.errors import Conflict, NotFound, NotReady, Overloaded
from services.imagegen.queue.connection import translated
from services.imagegen.queue.lua import Scripts, key
from services.imagegen.queue.records import (
    Totals,
    events_of,
    fields_of,
    job_in_place,
    job_of,
    report_parts,
)
from services.imagegen.settings import Settings
from services.imagegen.values import Card, Drawing, Event, Job, Report, StoredPicture

SWEEP_LIMIT = 500
EVENTS_BLOCK_MS = 1000
CARD_SECONDS = 1.0  # for so long a card is not asked for again
PROGRESS_LAG_SECONDS = 0.3  # painting is counted by the step; who comes back shall be admitted
REFUSALS = {
    "full": "The queue is full.",
    "tenant_full": "This tenant has too many waiting jobs.",
    "late": "The job cannot be done before its deadline.",
}
log = structlog.get_logger(__name__)


class Jobs:
    """The queue. Every change is one script, so nothing is ever half done.

    An acknowledged job is never lost; its result becomes visible once; tenants share by cost;
    the last sign of a stale worker is refused. Raises NotReady when Redis is away.
    """

    def __init__(self, client: Redis, settings: Settings) -> None:
        self._redis = client
        self._settings = settings
        self._scripts = Scripts(client, settings.fsync_wait_ms)
        self._card: tuple[float, Card] | None = None

    async def submit(
        self,
        job_id: str,
        tenant: str,
        drawing: Drawing,
        *,
        card: Card,
        warnings: Sequence[str] = (),
        priority: int = 0,
        deadline_seconds: float | None = None,
        idempotency: tuple[str, str] = ("", ""),
    ) -> Job:
        """Put a drawing into the queue; return the job, an older one for a known key.

        `idempotency` is the client's key and the request's digest. Raises Overloaded with the
        time to wait, Conflict when the key was used for another request, or NotReady when the
        disk is late: then the job is queued, and the same key gives it.
        """
        limits, ids = self._settings, logs.current()
        answer, is_on_disk = await self._scripts.run_to_disk(
            "submit",
            *(job_id, tenant, *idempotency, drawing.model_dump_json()),
            json.dumps(warnings) if warnings else "",
            *(card.batch_key(drawing), card.pixel_steps(drawing), drawing.count, priority),
            *(limits.result_ttl_seconds, limits.max_wait_seconds * 1000),
            deadline_seconds or limits.max_wait_seconds,
            *(limits.max_backlog_seconds, limits.max_waiting_per_tenant),
            *(ids.request_id, ids.traceparent),
        )
        verdict = answer[0]
        if verdict == "conflict":
            raise Conflict("This Idempotency-Key was used for a different request.")
        if verdict in REFUSALS:
            wait = float(answer[1]) + PROGRESS_LAG_SECONDS
            raise Overloaded(REFUSALS[verdict], retry_after_seconds=wait)
        if not is_on_disk:
            raise NotReady(
                "The job is queued, but not yet safe on the disk. "
                "Repeat the request with the same Idempotency-Key."
            )
        return job_in_place(answer[1])

    async def claim(self, max_pictures: int, joining: str = "") -> list[Job]:
        """Take compatible jobs of up to `max_pictures` pictures, or one larger job alone.

        With the key of a batch that is being painted, take what may join it: nothing larger,
        nothing that has cost a worker, and only as long as it is that key's turn.
        """
        taken = await self._scripts.run("claim", max_pictures, self._lease_ms, joining)
        return [job_of(fields_of(flat)) for flat in taken]

    async def renew(self, reports: Sequence[Report]) -> set[str]:
        """Keep the leases and publish how far each job is; return the ids that are still ours."""
        parts = [part for report in reports for part in report_parts(report)]
        return set(await self._scripts.run("renew", self._lease_ms, *parts))

    async def finish(self, job: Job, pictures: Sequence[StoredPicture]) -> bool:
        """Make the pictures visible; return False when the job is no longer ours.

        They are visible at once. Returns when that is on the disk, so that a caller who keeps the
        pictures until then can finish again what a power cut undid.
        """
        value = json.dumps([picture.model_dump() for picture in pictures])
        return await self._end(job, "done", "pictures", value)

    async def fail(self, job: Job, reason: str) -> bool:
        """End the job with a reason for its tenant; return False when it is no longer ours."""
        return await self._end(job, "failed", "error", reason)

    async def release(self, job: Job, reason: str = "") -> bool:
        """Hand the job back; a reason charges it with a failed attempt."""
        limit = self._settings.max_losses
        return bool(await self._scripts.run("release", job.id, job.generation, limit, reason))

    async def cancel(self, job_id: str, tenant: str) -> Job:
        """Cancel a job that is not finished; return it as it is now."""
        view, is_on_disk = await self._scripts.run_to_disk("cancel", job_id, tenant)
        job = _found(view)
        if not is_on_disk:
            raise NotReady("The job is cancelled, but not yet safe on the disk. Try again.")
        return job

    async def look(self, job_id: str, tenant: str) -> Job:
        """Return the tenant's job with its place in the queue; raise NotFound for all others."""
        return _found(await self._scripts.run("look", job_id, tenant))

    async def sweep(self) -> list[str]:
        """Requeue jobs of lost workers; return TENANT/ID of jobs whose files may be deleted."""
        limits = (SWEEP_LIMIT, self._settings.max_losses)
        return list(await self._scripts.run("sweep", *limits, self._lease_ms))

    async def forget(self, tenant_and_id: str) -> None:
        """Say that the job's stored files are gone."""
        with translated():
            await self._redis.zrem(key("expiring"), tenant_and_id)

    async def expect_files(self, tenant: str, job_id: str) -> None:
        """Have files of a job that is not submitted yet deleted some time, whatever happens."""
        ends_at = time.time() + self._settings.max_wait_seconds + self._settings.result_ttl_seconds
        with translated():
            await self._redis.zadd(key("expiring"), {f"{tenant}/{job_id}": int(ends_at * 1000)})

    async def events(self, job_id: str, after: str) -> list[Event]:
        """Wait up to a second for events after the given id."""
        with translated():
            answer: Any = await self._redis.xread(
                {key("events", job_id): after}, count=100, block=EVENTS_BLOCK_MS
            )
        return events_of(answer)

    async def wakes(self) -> AsyncIterator[str]:
        """Yield `job` when one is queued and a job's id when it is cancelled; may miss some."""
        async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            with translated():
                await channel.subscribe(key("wake"))
            while True:
                with translated():
                    message = await channel.get_message(timeout=1.0)
                if message:
                    yield str(message["data"])

    async def report(self, worker: str, card: Card, rate: float, slots: int = 1) -> None:
        """Give a sign of life with the model's card and what the worker can do.

        `rate` is in pixel-steps per second with all of its `slots`, pictures at once, filled.
        """
        ability = f"{rate} {slots}"
        with translated():
            async with self._redis.pipeline(transaction=True) as batch:
                batch.zadd(key("workers"), {worker: await self._now_ms()})
                batch.hset(key("rates"), worker, ability)
                batch.hset(key("model"), mapping={"card": card.model_dump_json(), "rate": ability})
                await batch.execute()

    async def sign_off(self, worker: str) -> None:
        """Say that a worker ends as it should."""
        with translated():
            async with self._redis.pipeline(transaction=True) as batch:
                batch.zrem(key("workers"), worker)
                batch.hdel(key("rates"), worker)
                await batch.execute()

    async def card(self) -> Card:
        """Return the card of the painting model, at most a second old.

        Raises NotReady before the first worker's report.
        """
        if self._card and time.monotonic() < self._card[0]:
            return self._card[1]
        with translated():
            found = await self._redis.hget(key("model"), "card")
        if found is None:
            raise NotReady("No worker has reported its model yet.")
        card = Card.model_validate_json(found)
        self._card = time.monotonic() + CARD_SECONDS, card
        return card

    async def heartbeat_age_seconds(self) -> float:
        """Return the time since the last sign of life of any worker; infinite without workers."""
        with translated():
            newest: Any = await self._redis.zrange(key("workers"), -1, -1, withscores=True)
            now_ms = await self._now_ms()
        return max(0.0, now_ms - newest[0][1]) / 1000 if newest else math.inf

    async def totals(self) -> Totals:
        """Return jobs per state, the backlog's cost and the rate at which it shrinks."""
        with translated():
            counts: Any = await self._redis.hgetall(key("totals"))
            dead = await self._redis.zcard(key("dead"))
        return Totals.of(counts, dead, float(await self._scripts.run("rate")))

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

    async def _end(self, job: Job, *outcome: str) -> bool:
        ended, is_on_disk = await self._scripts.run_to_disk(
            "finish", job.id, job.generation, *outcome
        )
        if not is_on_disk:  # it is visible and stays so unless the power fails now
            log.warning("end_not_yet_on_disk", job=job.id)
        return bool(ended)


def _found(view: Sequence[Any]) -> Job:
    if not view:
        raise NotFound("There is no such job, or it has expired.")
    return job_in_place(view)
