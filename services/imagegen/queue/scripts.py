"""The Lua scripts and the two ways to run them."""

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
        """Run a script and wait until its changes are on the server's disk; tell whether they are.

        True as well from a server that cannot tell: one older than Redis 7.2, or without AOF.
        """
        if not (self._fsync_wait_ms and self._server_confirms):
            return await self.run(name, *arguments), True
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
            return answer, True
        return answer, confirmed[0] > 0

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
