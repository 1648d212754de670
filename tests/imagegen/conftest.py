"""Fixtures of the picture service: an empty queue and settings for it."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from services.imagegen.queue import Jobs, connect
from services.imagegen.settings import Settings
from tests.imagegen.fakes import CARD, settings_for


@pytest.fixture
async def redis(redis_url: str) -> AsyncGenerator[Redis]:
    """Return a client of an empty Redis."""
    async with connect(redis_url) as client:
        await client.flushdb()
        yield client


@pytest.fixture
async def settings(
    redis_url: str,
    redis: Redis,  # noqa: ARG001 - empties the queue
    tmp_path: Path,
) -> Settings:
    """Return the service's settings; the queue is empty."""
    return settings_for(redis_url, tmp_path / "pictures")


@pytest.fixture
async def jobs(settings: Settings, redis: Redis) -> Jobs:
    """Return the queue with the fake model's card in it."""
    queue = Jobs(redis, settings)
    await queue.report("test", CARD, 0.0)
    return queue
