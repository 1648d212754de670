"""The system as `make run` starts it, on free ports and with data of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from local import stack

START_SECONDS = 180.0
STOP_SECONDS = 60.0


@dataclass(frozen=True)
class RunningStack:
    """One `python -m local.stack` and a client for its gateway."""

    process: subprocess.Popen[bytes]
    gateway: httpx2.Client
    run_dir: Path
    ports: Mapping[str, int]

    def pid_of(self, module: str) -> int:
        """Return the id of the child process that runs a module, or 0."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in children.read_text().split():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it ended while we looked
            if module.encode() in words:
                return int(pid)
        return 0


@contextmanager
def whole_stack(folder: Path) -> Iterator[RunningStack]:
    """Start everything, wait until it serves, and stop it as Ctrl-C would."""
    ports = stack.free_ports()
    environment = {
        **os.environ,
        **{stack.PORT_SETTINGS[name]: str(port) for name, port in ports.items()},
        "DATA_DIR": str(folder / "data"),
        "RUN_DIR": str(folder / "run"),
    }
    output = folder / "output.log"
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.stack"],
            cwd=stack.ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for_serving(process, output)
        url = f"http://127.0.0.1:{ports['gateway']}"
        with httpx2.Client(base_url=url, timeout=90.0, trust_env=False) as client:
            yield RunningStack(process, client, folder / "run", ports)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_SECONDS)
    assert process.returncode == 0, output.read_text()[-2000:]


def _wait_for_serving(process: subprocess.Popen[bytes], output: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while "Switchboard is at" not in output.read_text():
        ended = process.poll() is not None
        assert not ended, output.read_text()[-4000:]
        assert time.monotonic() < give_up, output.read_text()[-4000:]
        time.sleep(0.1)
