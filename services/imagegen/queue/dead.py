"""Given-up jobs, for the people who run the queue."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from services.imagegen.queue.connection import translated
from services.imagegen.queue.lua import Scripts, key
from services.imagegen.queue.records import job_of
from services.imagegen.values import Job


@dataclass(frozen=True)
class DeadLetter:
    """A job that was given up, and when."""

    job: Job
    died_at: datetime


class DeadLetters:
    """Jobs that took too many workers down with them; kept for a week. Raises NotReady."""

    def __init__(self, client: Redis) -> None:
        self._redis = client
        self._scripts = Scripts(client, fsync_wait_ms=0)

    async def all(self) -> list[DeadLetter]:
        """Return them, the oldest first."""
        with translated():
            entries: Any = await self._redis.zrange(key("dead"), 0, -1, withscores=True)
            hashes: Any = [await self._redis.hgetall(key("job", job_id)) for job_id, _ in entries]
        return [
            DeadLetter(job_of(fields), datetime.fromtimestamp(died_ms / 1000, UTC))
            for (_, died_ms), fields in zip(entries, hashes, strict=True)
            if fields
        ]

    async def replay(self, job_id: str) -> bool:
        """Queue the job once more, as if it had never run; False when there is no such letter."""
        return bool(await self._scripts.run("replay", job_id))

    async def drop(self, job_id: str) -> bool:
        """Leave it at the failure; False when there is no such letter."""
        return bool(await self._scripts.run("drop", job_id))
