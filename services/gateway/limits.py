"""How much each key may ask: requests in a time and in a day, counted for all gateways in Redis."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import limits
import structlog
from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import (
    FixedWindowRateLimiter,
    RateLimiter,
    SlidingWindowCounterRateLimiter,
)
from redis import RedisError
from redis.asyncio import ConnectionPool

from kit.errors import NotReady, Overloaded
from services.gateway.keys import Key
from services.gateway.settings import Settings

REDIS_SECONDS = 0.5
BLIND_SECONDS = 5.0  # Redis failed: until then nobody waits for it again

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Standing:
    """One limit, and what is left of it."""

    name: str
    quota: int
    window_seconds: int
    remaining: int
    reset_seconds: int

    @property
    def policy(self) -> str:
        """Return the limit as `RateLimit-Policy` has it."""
        return f'"{self.name}";q={self.quota};w={self.window_seconds}'

    @property
    def state(self) -> str:
        """Return the rest as `RateLimit` has it."""
        return f'"{self.name}";r={self.remaining};t={self.reset_seconds}'


def headers_of(standings: Sequence[Standing]) -> dict[str, str]:
    """Return the headers of draft-ietf-httpapi-ratelimit-headers; none without a limit."""
    if not standings:
        return {}
    return {
        "RateLimit-Policy": ", ".join(standing.policy for standing in standings),
        "RateLimit": ", ".join(standing.state for standing in standings),
    }


class Allowances:
    """Counts the requests of every key.

    While Redis is away, requests are served uncounted or refused, as the settings say.
    """

    def __init__(self, storage: Storage, settings: Settings) -> None:
        self._rate = SlidingWindowCounterRateLimiter(storage)
        self._day = FixedWindowRateLimiter(storage)
        self._settings = settings
        self._parsed: dict[str, limits.RateLimitItem] = {}
        self._blind_until = 0.0

    @classmethod
    @asynccontextmanager
    async def connected(cls, settings: Settings) -> "AsyncGenerator[Allowances]":
        """Open the storage; nothing is asked of it yet."""
        if settings.redis_url is None:
            yield cls(MemoryStorage(), settings)
            return
        pool = ConnectionPool.from_url(
            settings.redis_url.get_secret_value(),
            socket_timeout=REDIS_SECONDS,
            socket_connect_timeout=REDIS_SECONDS,
            driver_info=None,  # else every connection reads redis-py's version from the disk
        )
        storage = await asyncio.to_thread(_in_redis, pool)
        try:
            yield cls(storage, settings)
        finally:
            await pool.aclose()

    async def take(self, key: Key) -> list[Standing]:
        """Count one request and return what is left; raises Overloaded when nothing was."""
        wanted = self._wanted(key)
        if not wanted:
            return []
        if time.monotonic() < self._blind_until:
            return self._uncounted()
        try:
            return [await self._hit(*limit, key) for limit in wanted]
        except (RedisError, OSError, TimeoutError) as error:
            self._blind_until = time.monotonic() + BLIND_SECONDS
            log.warning("limits_not_counted", reason=str(error))
            return self._uncounted()

    def _wanted(self, key: Key) -> list[tuple[str, RateLimiter, limits.RateLimitItem]]:
        found: list[tuple[str, RateLimiter, limits.RateLimitItem]] = []
        if rate := key.rate or self._settings.rate_limit:
            found.append(("rate", self._rate, self._item(rate)))
        if daily := key.daily or self._settings.daily_quota:
            found.append(("day", self._day, self._item(f"{daily}/day")))
        return found

    def _item(self, rate: str) -> limits.RateLimitItem:
        if rate not in self._parsed:
            self._parsed[rate] = limits.parse(rate)
        return self._parsed[rate]

    async def _hit(
        self, name: str, limiter: RateLimiter, item: limits.RateLimitItem, key: Key
    ) -> Standing:
        is_within = await limiter.hit(item, name, key.digest)
        stats = await limiter.get_window_stats(item, name, key.digest)
        reset = max(1, math.ceil(stats.reset_time - time.time()))
        remaining = max(0, stats.remaining) if is_within else 0
        standing = Standing(name, item.amount, item.get_expiry(), remaining, reset)
        if not is_within:
            said = f"This key may send {item.amount} requests per {_words(item)}."
            refused = Overloaded(said, retry_after_seconds=reset)
            refused.headers |= headers_of([standing])
            raise refused
        return standing

    def _uncounted(self) -> list[Standing]:
        if self._settings.limits_fail_closed:
            raise NotReady(
                "Requests cannot be counted at the moment, and are not served uncounted."
            )
        return []


def _in_redis(pool: ConnectionPool) -> RedisStorage:
    """Return the storage; the library reads its scripts from files now."""
    return RedisStorage(
        "async+redis://",
        implementation="redispy",
        key_prefix="gateway:limits",
        connection_pool=pool,  # type: ignore[arg-type] # documented, and typed as a number
    )


def _words(item: limits.RateLimitItem) -> str:
    unit = item.GRANULARITY.name
    return unit if item.multiples == 1 else f"{item.multiples} {unit}s"


async def _tenant(request: Request) -> str:
    name: str = request.state.tenant
    return name


Tenant = Annotated[str, Depends(_tenant)]
"""The caller's tenant by its key; what the caller says about it counts for nothing."""

documented = [
    Depends(HTTPBearer(auto_error=False, scheme_name="Key")),
    Depends(APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="KeyHeader")),
]
"""How a key is sent, for the API's document; the gate reads it before any route."""
