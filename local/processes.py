"""Start processes, keep their logs, restart what crashes, and stop them all."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

STOP_SECONDS = 20.0
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 30.0  # after this long alive, a crash counts as the first again
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Program:
    """One process to keep running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Supervisor:
    """Keeps programs alive: a crashed one starts again after a growing pause, the others go on."""

    def __init__(self, logs: Path, *, echo: bool) -> None:
        self._logs = logs
        self._echo = echo
        self._tasks: list[asyncio.Task[None]] = []
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = False

    def start(self, program: Program) -> None:
        """Start a program and watch it from now on."""
        self._tasks.append(asyncio.create_task(self._keep(program), name=program.name))

    def pid(self, name: str) -> int | None:
        """Return the process id of a running program."""
        process = self._running.get(name)
        return process.pid if process else None

    def log(self, name: str) -> Path:
        """Return the file that holds a program's output."""
        return self._logs / f"{name}.log"

    async def stop(self) -> None:
        """End what was started, the last first, and wait until all are gone."""
        self._stopping = True
        for process in reversed(self._running.values()):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await self._wait_or_kill(process)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _wait_or_kill(self, process: asyncio.subprocess.Process) -> None:
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _keep(self, program: Program) -> None:
        crashes = 0
        while not self._stopping:
            started = time.monotonic()
            code = await self._run_once(program)
            if self._stopping:
                return
            crashes = 1 if time.monotonic() - started > STEADY_SECONDS else crashes + 1
            pause = min(2.0 ** (crashes - 1), LONGEST_PAUSE_SECONDS)
            self._say(f"{program.name} ended with {code}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)

    async def _run_once(self, program: Program) -> int:
        process = await asyncio.create_subprocess_exec(
            *program.command,
            env={**os.environ, **program.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # A session of its own, so that Ctrl-C reaches only us and we stop them in order.
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        self._running[program.name] = process
        assert process.stdout is not None
        with self.log(program.name).open("ab") as log:
            async for line in _lines(process.stdout):
                log.write(line)
                log.flush()
                if self._echo:
                    sys.stdout.write(f"{program.name:<10} | {line.decode(errors='replace')}")
                    sys.stdout.flush()
        return await process.wait()

    def _say(self, text: str) -> None:
        sys.stdout.write(f"switchboard| {text}\n")
        sys.stdout.flush()


async def _lines(output: asyncio.StreamReader) -> AsyncGenerator[bytes]:
    """Yield lines; one that is longer than the reader's buffer comes in pieces."""
    while True:
        try:
            line = await output.readuntil()
        except asyncio.IncompleteReadError as end:
            line = end.partial
        except asyncio.LimitOverrunError as overrun:
            line = await output.read(overrun.consumed)
        if not line:
            return
        yield line


def _die_with_parent() -> None:
    """Ask Linux to end the child when we are killed; elsewhere it outlives a kill -9 of us."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@asynccontextmanager
async def supervised(
    programs: Sequence[Program], logs: Path, *, echo: bool
) -> AsyncGenerator[Supervisor]:
    """Run the programs until the block ends."""
    logs.mkdir(parents=True, exist_ok=True)
    for program in programs:
        (logs / f"{program.name}.log").unlink(missing_ok=True)
    supervisor = Supervisor(logs, echo=echo)
    try:
        for program in programs:
            supervisor.start(program)
        yield supervisor
    finally:
        await supervisor.stop()
