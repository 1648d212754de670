"""The Lua scripts and the two ways to run them."""

import asyncio
import time
from pathlib import Path
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError, ResponseError

from kit.errors import NotReady
from services.imagegen.queue.connection import translated

PREFIX = "{imagegen}"
FOLDER = Path(__file__).parent / "scripts"
COMMON = (FOLDER / "common.lua").read_text()
SOURCES = {
    path.stem: COMMON + path.read_text()
    for path in sorted(FOLDER.glob("*.lua"))
    if path.stem != "common"
}
POLL_SECONDS = 0.005
log = structlog.get_logger(__name__)


def key(*parts: str) -> str:
    """Return the name of a key; common.lua lists them all."""
    return ":".join((PREFIX, *parts))


class Scripts:
    """Runs scripts by name, each as one change in one round trip. Raises NotReady without Redis."""

    def __init__(self, client: Redis, fsync_wait_ms: int) -> None:
        self._redis = client
        self._fsync_wait_ms = fsync_wait_ms
        self._server_confirms = True  # until it says otherwise
        self._scripts: dict[str, AsyncScript] = {
            name: client.register_script(source) for name, source in SOURCES.items()
        }

    async def run(self, name: str, *arguments: Any) -> Any:
        """Run a script and return its answer."""
        with translated():
            return await self._scripts[name](keys=[PREFIX], args=arguments)

    async def run_to_disk(self, name: str, *arguments: Any) -> tuple[Any, bool]:
        """Run a script and wait until nothing can undo it; tell whether it is so in time.

        From Redis 7.2 on that means that it is on the disk. Older ones tell only whether it has
        left the process, so that a crash keeps it; a server without AOF is not waited for.
        """
        if not self._fsync_wait_ms:
            return await self.run(name, *arguments), True
        if not self._server_confirms:
            return await self.run(name, *arguments), await self._is_written()
        try:
            with translated():
                answer, confirmed = await self._in_one_go(self._scripts[name], arguments)
        except NotReady:
            self._server_confirms = True  # who comes back may be a newer one
            raise
        if isinstance(confirmed, ResponseError):
            if self._server_confirms:  # several may hear it at once
                log.info("redis_does_not_confirm_writes", reason=str(confirmed))
            self._server_confirms = False
            return answer, await self._is_written()
        return answer, confirmed[0] > 0

    async def _is_written(self) -> bool:
        """Wait until the server keeps back no writes: while its disk is slow it does, for seconds."""
        give_up = time.monotonic() + self._fsync_wait_ms / 1000
        while True:
            with translated():
                state = await self._redis.info("persistence")
            if not state.get("aof_enabled") or not state.get("aof_buffer_length"):
                return True
            if time.monotonic() > give_up:
                return False
            await asyncio.sleep(POLL_SECONDS)

    async def _in_one_go(self, script: AsyncScript, arguments: tuple[Any, ...]) -> tuple[Any, Any]:
        # WAITAOF speaks of the writes of its own connection, so both go through the same one.
        async with self._redis.pipeline(transaction=False) as batch:
            batch.evalsha(script.sha, 1, PREFIX, *arguments)
            batch.waitaof(1, 0, self._fsync_wait_ms)
            answer, confirmed = await batch.execute(raise_on_error=False)
        if isinstance(answer, NoScriptError):  # so nothing was done: Redis was restarted
            await self._redis.script_load(script.script)
            return await self._in_one_go(script, arguments)
        if isinstance(answer, Exception):
            raise answer
        return answer, confirmed
