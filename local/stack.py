"""The whole system as processes of this machine; `python -m local.stack` is `make run`."""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from local import redis
from local.processes import Program, Supervisor, supervised

ROOT = Path(__file__).resolve().parents[1]
RUN = Path(os.environ.get("RUN_DIR", ROOT / ".run"))  # logs and the demo's pictures
DATA = Path(os.environ.get("DATA_DIR", ROOT / "data"))  # the queue, pictures and documents
READY_SECONDS = 180.0
PORTS = {
    "gateway": 8080,
    "classifier": 8001,
    "qa": 8002,
    "imagegen": 8003,
    "worker": 8013,
    "rag": 8004,
    "console": 8005,
}
PORT_SETTINGS = {name: f"{name.upper()}_PORT" for name in PORTS} | {
    "worker": "IMAGEGEN_WORKER_PORT"
}


class StackFailed(Exception):
    """The system cannot run; the message says why."""


@dataclass(frozen=True)
class Stack:
    """The running system: where to reach each service, and who keeps it running."""

    ports: Mapping[str, int]
    supervisor: Supervisor

    def url(self, name: str) -> str:
        """Return a service's address."""
        return f"http://127.0.0.1:{self.ports[name]}"


def ports_from_environment() -> dict[str, int]:
    """Return each service's port: the usual one unless its setting says otherwise."""
    ports = {name: _port(PORT_SETTINGS[name], usual) for name, usual in PORTS.items()}
    for name, port in ports.items():
        if list(ports.values()).count(port) > 1:
            raise StackFailed(f"{PORT_SETTINGS[name]}={port} is another service's port as well.")
    return ports


def _port(setting: str, usual: int) -> int:
    given = os.environ.get(setting) or str(usual)
    if not (given.isdecimal() and 0 < int(given) < 65536):
        raise StackFailed(f"{setting}={given} is no port; it must be a number from 1 to 65535.")
    return int(given)


def free_ports() -> dict[str, int]:
    """Return ports that nobody uses now; tests run several systems side by side."""
    sockets = {name: socket.socket() for name in PORTS}
    for listener in sockets.values():
        listener.bind(("127.0.0.1", 0))
    found = {name: listener.getsockname()[1] for name, listener in sockets.items()}
    for listener in sockets.values():
        listener.close()
    return found


def programs(ports: Mapping[str, int], data: Path, redis_socket: Path) -> list[Program]:
    """Return what runs: Redis first, then every service in a process of its own."""
    shared = {
        "MODELS_DIR": str(ROOT / ".models"),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        **{PORT_SETTINGS[name]: str(port) for name, port in ports.items()},
        **{
            f"GATEWAY_{name.upper()}_URL": f"http://127.0.0.1:{ports[name]}"
            for name in ("classifier", "qa", "imagegen", "rag", "console")
        },
        "CONSOLE_GATEWAY_URL": f"http://127.0.0.1:{ports['gateway']}",
        "RAG_QA_URL": f"http://127.0.0.1:{ports['qa']}",
        **{
            f"{name.upper()}_LOG_FORMAT": os.environ.get("LOG_FORMAT", "console")
            for name in ("gateway", "classifier", "qa", "imagegen", "rag", "console")
        },
        "IMAGEGEN_REDIS_URL": f"unix://{redis_socket}",
        "IMAGEGEN_STORAGE_URL": (data / "pictures").as_uri(),
        "GATEWAY_DATA": str(data / "gateway"),
        "RAG_DATA_DIR": str(data / "rag"),
    }
    python = sys.executable
    names = ("classifier", "qa", "imagegen", "rag", "console", "gateway")
    return [
        Program("redis", redis.command(data / "redis", socket=redis_socket)),
        *(Program(n, [python, "-m", "kit.serve", f"services.{n}.app"], shared) for n in names),
        Program("worker", [python, "-m", "services.imagegen.worker"], shared),
    ]


@asynccontextmanager
async def running(
    ports: Mapping[str, int], *, echo: bool, data: Path = DATA, run: Path = RUN
) -> AsyncGenerator[Stack]:
    """Run the system until the block ends; yields once every service says that it is ready."""
    _check_ports(ports)
    data.mkdir(parents=True, exist_ok=True)
    # A Unix socket's path may have 107 characters, a checkout's may have more.
    with _alone_in(data), tempfile.TemporaryDirectory(prefix="switchboard-") as sockets:
        started = programs(ports, data.resolve(), Path(sockets) / "redis.sock")
        async with supervised(started, run / "logs", echo=echo) as supervisor:
            stack = Stack(ports, supervisor)
            await wait_until_ready(stack)
            yield stack


@contextmanager
def _alone_in(data: Path) -> Iterator[None]:
    """Keep a second system away: two servers that append to one queue's log destroy it."""
    with (data / "in-use.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackFailed(
                f"Another Switchboard keeps its data in {data}. Stop it, or choose another "
                "folder with DATA_DIR=FOLDER."
            ) from error
        yield


def _check_ports(ports: Mapping[str, int]) -> None:
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise StackFailed(
                    f"Port {port} for {name} is in use. Stop what listens there, or choose "
                    f"another with {PORT_SETTINGS[name]}=PORT."
                ) from error


async def wait_until_ready(stack: Stack) -> None:
    """Poll every `/readyz`, saying who became ready; raise StackFailed after a while."""
    waiting = dict(stack.ports)
    started = time.monotonic()
    async with httpx2.AsyncClient(timeout=3.0, trust_env=False) as client:
        while waiting:
            reasons = {name: await _unready_reason(client, stack.url(name)) for name in waiting}
            for name in [name for name, reason in reasons.items() if not reason]:
                del waiting[name]
                print(f"  {name} is ready ({time.monotonic() - started:.1f} s)", flush=True)
            if waiting and time.monotonic() - started > READY_SECONDS:
                name, reason = next((n, r) for n, r in reasons.items() if r)
                log = stack.supervisor.log(name)
                raise StackFailed(f"{name} did not become ready: {reason}. Its log: {log}")
            await asyncio.sleep(0.2)


async def _unready_reason(client: httpx2.AsyncClient, url: str) -> str:
    """Return why a service is not ready, or nothing when it is."""
    try:
        response = await client.get(f"{url}/readyz")
    except httpx2.TransportError:
        return "it does not listen yet"
    return "" if response.status_code == 200 else response.text


async def serve() -> None:
    """Run until Ctrl-C or SIGTERM, also while things are still starting."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    serving = asyncio.create_task(_serve_forever())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set():
        print("\nStopping ...", flush=True)
        serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


async def _serve_forever() -> None:
    async with running(ports_from_environment(), echo=True) as stack:
        where = f"{stack.url('gateway')}/console (API documentation at /docs)"
        print(f"\nSwitchboard is at {where}; logs are in {RUN / 'logs'}. Ctrl-C stops it.\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> int:
    """Run the system; return 1 with one message when it cannot run."""
    try:
        asyncio.run(serve())
    except (StackFailed, OSError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
