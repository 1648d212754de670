"""Fixtures of the picture service: an empty queue and settings for it."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from services.imagegen.queue import Jobs, connect
from services.imagegen.settings import Settings
from tests.imagegen.fakes import CARD, settings_for


@pytest.fixture
async def settings(redis_url: str, tmp_path: Path) -> Settings:
    async with connect(redis_url) as client:
        await client.flushdb()
    return settings_for(redis_url, tmp_path / "pictures")


@pytest.fixture
async def jobs(settings: Settings) -> AsyncGenerator[Jobs]:
    """Return the queue with the fake model's card in it."""
    async with connect(settings.redis_url) as client:
        queue = Jobs(client, settings)
        await queue.report("test", CARD, 0.0)
        yield queue
