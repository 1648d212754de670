"""The servers under test: how each is started, asked and understood."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2

from local.stack import ROOT

SERVERS = Path(__file__).parent / "servers"
START_SECONDS = 120.0
MARK = "SWITCHBOARD_BENCHMARK_SERVER"
Rows = list[dict[str, Any]]


def _first(answer: Any) -> Rows:
    rows: Rows = answer[0]
    return rows


def _own(answer: Any) -> Rows:
    rows: Rows = answer["results"][0]["scores"]
    return rows


@dataclass(frozen=True)
class Peer:
    """One server: its command (PYTHON stands for its environment's), its path and its JSON."""

    name: str
    command: tuple[str, ...]
    path: str = "/predict"
    body: Callable[[str], Any] = lambda text: {"text": text}
    rows: Callable[[Any], Rows] = lambda answer: answer
    requirements: str | None = None
    """File of an environment of its own; without it the repository's is used."""
    batches: tuple[int, ...] = (1,)
    """Batch sizes to choose the best of."""
    is_fp32: bool = False


PEERS = (
    Peer(
        "switchboard",
        ("PYTHON", "-m", "kit.serve", "services.classifier.app"),
        path="/v1/classify",
        body=lambda text: {"texts": [text]},
        rows=_own,
    ),
    Peer("fastapi_onnx", ("PYTHON", "fastapi_onnx.py")),
    Peer("pipeline", ("PYTHON", "pipeline.py"), is_fp32=True),
    Peer(
        "litserve",
        ("PYTHON", "litserve_onnx.py"),
        requirements="litserve.txt",
        batches=(1, 8, 32),
    ),
    Peer(
        "bentoml",
        ("PYTHON", "-m", "bentoml", "serve", "bentoml_onnx:Emotions", "--port", "PORT"),
        body=lambda text: {"texts": [text]},
        rows=_first,
        requirements="bentoml.txt",
        batches=(1, 8, 32),
    ),
    Peer("ray", ("PYTHON", "ray_onnx.py"), requirements="ray.txt", batches=(1, 8, 32)),
)


def python(peer: Peer, work: Path) -> Path:
    """Return the interpreter that runs a peer, making its environment first where it has one."""
    if peer.requirements is None:
        return Path(sys.executable)
    folder = work / peer.name
    interpreter = folder / "bin/python"
    if not interpreter.exists():
        commands: list[list[str | Path]] = [
            [sys.executable, "-m", "venv", str(folder)],
            [str(interpreter), "-m", "pip", "install", "-q", "-r", SERVERS / peer.requirements],
        ]
        for command in commands:
            subprocess.run(command, check=True)  # noqa: S603 - fixed commands
    return interpreter


class DoesNotStart(Exception):
    """A peer gave no answer in time."""


@dataclass
class Server:
    """A started peer."""

    peer: Peer
    process: subprocess.Popen[bytes]
    port: int
    mark: str
    start_seconds: float = 0.0

    def ask(self, text: str) -> Rows:
        """Return one text's scores."""
        answer = httpx2.post(self.url, json=self.peer.body(text), timeout=60)
        return self.peer.rows(answer.raise_for_status().json())

    @property
    def url(self) -> str:
        """Return where a text is sent."""
        return f"http://127.0.0.1:{self.port}{self.peer.path}"

    def cpu_seconds(self) -> float:
        """Return what the server and its children have used so far."""
        tick = os.sysconf("SC_CLK_TCK")
        fields = [_read(pid, "stat").rsplit(")", 1)[-1].split() for pid in self.pids()]
        # Fields 14 and 15, counted from 1, of which the first two are cut off.
        return sum((int(f[11]) + int(f[12])) / tick for f in fields if f)

    def peak_mib(self) -> float:
        """Return the sum of the processes' greatest resident sizes."""
        lines = [line for pid in self.pids() for line in _read(pid, "status").splitlines()]
        return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

    def pids(self) -> list[int]:
        """Return the server's processes: all that inherited its mark."""
        numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
        return [pid for pid in numbers if f"{MARK}={self.mark}" in _read(pid, "environ")]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


@contextmanager
def serving(
    peer: Peer, work: Path, port: int, core: int, model: Path, batch: int
) -> Iterator[Server]:
    """Run a peer on one core until the block ends; it has answered once when the block begins."""
    names = {"PYTHON": str(python(peer, work)), "PORT": str(port)}
    command = [names.get(part, part) for part in peer.command]
    mark = uuid4().hex
    environment = os.environ | {
        MARK: mark,
        "PORT": str(port),
        "CLASSIFIER_PORT": str(port),
        "CLASSIFIER_MODEL": f"path:{model}",
        "CLASSIFIER_LOG_LEVEL": "warning",
        "MODEL_DIR": str(model),
        "BATCH": str(batch),
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "RAY_USAGE_STATS_ENABLED": "0",
        "BENTOML_DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
    }
    folder = ROOT if peer.name == "switchboard" else SERVERS
    log = (work / f"{peer.name}.log").open("wb")
    began = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 - commands of this file
        ["taskset", "-c", str(core), *command],  # noqa: S607 - from util-linux
        cwd=folder,
        env=environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    server = Server(peer, process, port, mark)
    try:
        _await_answer(server)
        server.start_seconds = time.monotonic() - began
        yield server
    finally:
        _stop(server)
        log.close()


def _await_answer(server: Server) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            server.ask("Thank you!")
        except httpx2.HTTPError as error:
            if time.monotonic() > until or server.process.poll() is not None:
                name = server.peer.name
                raise DoesNotStart(f"{name} does not start; see {name}.log.") from error
            time.sleep(0.1)
        else:
            return


def _stop(server: Server) -> None:
    """End the server and whatever it started."""
    server.process.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.process.wait(10)
    for pid in server.pids():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.process.wait()
