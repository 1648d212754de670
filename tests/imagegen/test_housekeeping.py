"""What runs beside the requests."""

import asyncio
from contextlib import suppress

from services.imagegen.housekeeping import end


async def test_a_swallowed_cancellation_does_not_hold_up_the_end():
    begun = asyncio.Event()

    async def deaf_once() -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(deaf_once())
    await begun.wait()
    async with asyncio.timeout(30):
        await end([task])
    assert task.cancelled()
