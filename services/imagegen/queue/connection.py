"""The connection to Redis, and its failures as ours."""

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from kit.errors import NotReady

ANSWER_SECONDS = 5.0
# Memory or disk is full, it is a replica, or it lacks one. Redis 6 puts the code of what failed in a
# script inside the message, where redis-py does not look.
TAKES_NO_WRITES = re.compile(r"\b(OOM|MISCONF|READONLY|NOREPLICAS|MASTERDOWN|BUSY) ")
log = structlog.get_logger(__name__)


@asynccontextmanager
async def connect(url: str, max_connections: int = 64) -> AsyncGenerator[Redis]:
    """Yield a client that connects when used, so that it recovers when Redis does.

    Nothing is retried here: repeating a claim whose answer was lost would lose its jobs.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=ANSWER_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        decode_responses=True,
        driver_info=None,  # else every connection reads redis-py's version from the disk
        retry=Retry(NoBackoff(), 0),
    )
    client = Redis.from_pool(pool)
    try:
        yield client
    finally:
        await client.aclose()


@contextmanager
def translated() -> Iterator[None]:
    """Turn Redis being away into NotReady; a wrong command stays a bug."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError) as error:
        raise NotReady("The job queue cannot be reached. Nothing was lost; try again.") from error
    except ResponseError as error:
        known = isinstance(error, OutOfMemoryError | ReadOnlyError)
        if not known and not TAKES_NO_WRITES.search(str(error)):
            raise
        raise NotReady("The job queue takes no new work at the moment.") from error


async def warn_if_lossy(client: Redis) -> None:
    """Log a warning when Redis may drop jobs; managed servers that hide it are believed."""
    try:
        settings = await client.config_get("maxmemory-policy", "appendonly")
    except RedisError:
        return
    if settings.get("maxmemory-policy", "noeviction") != "noeviction":
        log.warning("redis_may_evict_jobs", policy=settings["maxmemory-policy"])
    if settings.get("appendonly", "yes") != "yes":
        log.warning("redis_loses_jobs_when_it_stops", appendonly=settings["appendonly"])
