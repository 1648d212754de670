"""What the gateway adds to a call: `python -m benchmarks.gateway --work DIR`.

The same requests go to a service that answers at once: directly, through the gateway's two ways of passing on (a service's
path, and a chat completion of another model), through a plain FastAPI proxy and through LiteLLM's, which gets an environment
of its own below `--work`. Rounds are interleaved; what a proxy adds is its round minus the direct one. Processor time per
request holds on a machine that others use too; milliseconds do not, and stand beside the load average at their time.
Writes results/gateway.json.
"""

import argparse
import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import psutil

from benchmarks.setting import RESULTS, record
from local.stack import ROOT

SERVERS = Path(__file__).parent / "gateway_servers"
LOAD = Path(__file__).parent / "text" / "load.py"
CHAT = "/v1/chat/completions"
SIZES = {"200 B": 200, "8 kB": 8_000, "1 MB": 1_000_000}
CONCURRENCY = {"200 B": (1, 16, 64, 256), "8 kB": (1, 16), "1 MB": (1, 16)}
FEWER = {"litellm": (1, 16)}  # its queues of seconds say nothing more
HALF = 0.5
SSE_REQUESTS = 20
WITHOUT_KEYS = {"NO_PROXY": "*", "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
START_SECONDS = 180.0


@dataclass
class Target:
    """One way to the stub."""

    name: str
    port: int
    path: str
    process: psutil.Process
    rounds: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    def cpu_seconds(self) -> float:
        """Return what its process and its children have used so far."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in family)


def body_of(size: int) -> dict[str, Any]:
    """Return a chat of about so many bytes."""
    body: dict[str, Any] = {"model": "stub", "messages": [{"role": "user", "content": ""}]}
    body["messages"][0]["content"] = "x" * max(1, size - len(json.dumps(body)))
    return body


def load(target: Target, body: Any, seconds: float, **shape: float) -> dict[str, float]:
    """Run one load in a process of its own and return its figures."""
    task = {"port": target.port, "path": target.path, "bodies": [body], "seconds": seconds, **shape}
    used = target.cpu_seconds()
    done = subprocess.run(  # noqa: S603 - fixed commands
        [sys.executable, str(LOAD)],
        input=json.dumps(task).encode(),
        capture_output=True,
        check=True,
    )
    used = target.cpu_seconds() - used
    found = json.loads(done.stdout)
    took = sorted(row[2] * 1000 for row in found["answers"] if row[0] == 200)
    failed = len(found["answers"]) - len(took)
    if not took:
        return {"failed": failed, "rps": 0.0}
    return {
        "p50_ms": took[len(took) // 2],
        "p99_ms": took[min(len(took) - 1, math.ceil(0.99 * len(took)))],
        "rps": len(took) / found["seconds"],
        "cpu_ms": 1000 * used / len(took),
        "failed": failed,
        "generator_cpu_share": found["generator_cpu_share"],
    }


def events(target: Target) -> dict[str, float]:
    """Return how late the events of streams arrive, and the gap before the first."""
    late = []
    body = {**body_of(200), "stream": True}
    with httpx2.Client(trust_env=False, timeout=30) as client:
        for _ in range(SSE_REQUESTS):
            with client.stream(
                "POST", f"http://127.0.0.1:{target.port}{target.path}", json=body
            ) as answer:
                for line in answer.iter_lines():
                    now = time.monotonic()
                    if line.startswith("data: {"):
                        said = json.loads(line[6:])["choices"][0]["delta"].get("content")
                        if said:
                            late.append(1000 * (now - float(said)))
    late.sort()
    return {"p50_ms": late[len(late) // 2], "p99_ms": late[int(0.99 * len(late))]}


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def started(
    command: list[str], port: int, path: str, **environment: str
) -> Iterator[psutil.Process]:
    """Run a server until the block ends; yields once it answers."""
    process = subprocess.Popen(  # noqa: S603 - fixed commands
        command,
        env={**os.environ, **environment},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(process, port, path)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    give_up = time.monotonic() + START_SECONDS
    url = f"http://127.0.0.1:{port}{path}"
    while time.monotonic() < give_up and process.poll() is None:
        try:
            if httpx2.post(url, json=body_of(200), trust_env=False, timeout=5).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"{process.args!r} does not answer.")


def litellm(work: Path, port: int, upstream: str) -> list[str]:
    """Return LiteLLM's command, making its environment first."""
    folder = work / "litellm"
    if not (folder / "bin/litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)  # noqa: S603
        pip = [str(folder / "bin/pip"), "install", "-q", "-r", str(SERVERS / "litellm.txt")]
        subprocess.run(pip, check=True)  # noqa: S603
    config = work / "litellm.json"  # JSON is YAML
    parameters = {"model": "openai/stub", "api_base": f"{upstream}/v1", "api_key": "none"}
    models = [{"model_name": "stub", "litellm_params": parameters}]
    config.write_text(json.dumps({"model_list": models}), encoding="utf-8")
    options = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    return [str(folder / "bin/litellm"), *options, "--num_workers", "1", "--telemetry", "False"]


@contextmanager
def targets(work: Path | None) -> Iterator[list[Target]]:
    """Start the stub and every way to it."""
    with ExitStack() as stack:
        stub, port, plain = free_port(), free_port(), free_port()
        upstream = f"http://127.0.0.1:{stub}"
        python = sys.executable
        run = stack.enter_context
        direct = run(started([python, str(SERVERS / "stub.py"), str(stub)], stub, CHAT))
        own = run(
            started(
                [python, "-m", "kit.serve", "services.gateway.app"],
                port,
                "/v1/classify",
                GATEWAY_PORT=str(port),
                GATEWAY_LOG_LEVEL="warning",
                GATEWAY_CLASSIFIER_URL=upstream,
                GATEWAY_LLM_URL=f"{upstream}/v1",
                GATEWAY_LLM_MODEL="stub",
            )
        )
        fastapi = run(
            started([python, str(SERVERS / "plain.py"), str(plain), upstream], plain, CHAT)
        )
        found = [
            Target("direct", stub, CHAT, direct),
            Target("gateway", port, "/v1/classify", own),
            Target("gateway, chat", port, CHAT, own),
            Target("fastapi", plain, CHAT, fastapi),
        ]
        if work is not None:
            other = free_port()
            peer = run(started(litellm(work, other, upstream), other, CHAT, **WITHOUT_KEYS))
            found.append(Target("litellm", other, CHAT, peer))
        yield found


def measure(found: list[Target], seconds: float, rounds: int) -> None:
    """Run every load on every target, round by round."""
    for _ in range(rounds):
        for size, length in SIZES.items():
            for concurrency in CONCURRENCY[size]:
                for target in found:
                    if concurrency not in FEWER.get(target.name, (concurrency,)):
                        continue
                    figures = load(target, body_of(length), seconds, concurrency=concurrency)
                    target.rounds.setdefault(f"{size}, {concurrency}", []).append(figures)
                    print(target.name, size, concurrency, figures, flush=True)
        for target in found:
            target.rounds.setdefault("events", []).append(events(target))
    for target in found[1:]:
        _half_load(target, found[0], seconds, rounds)


def _half_load(target: Target, direct: Target, seconds: float, rounds: int) -> None:
    """Send half of what a target can take, and the same to the stub itself."""
    rate = HALF * max(rows[0]["rps"] for key, rows in target.rounds.items() if key[:5] == "200 B")
    for _ in range(rounds):
        for one in (direct, target):
            figures = load(one, body_of(200), 2 * seconds, rate=rate)
            key = "half load" if one is target else f"half load of {target.name}"
            one.rounds.setdefault(key, []).append({**figures, "rate": rate})


def summary(found: list[Target]) -> dict[str, Any]:
    """Return the median round of everything, and what each way adds to the direct one."""
    direct = found[0]
    said: dict[str, Any] = {}
    for target in found:
        rows: dict[str, Any] = {}
        for key, rounds in target.rounds.items():
            names = rounds[0].keys() & rounds[-1].keys()
            rows[key] = {name: round(median(r[name] for r in rounds), 3) for name in sorted(names)}
            base = direct.rounds.get(f"half load of {target.name}" if key == "half load" else key)
            if target is direct or base is None:
                continue
            for name in names & {"p50_ms", "p99_ms"}:
                added = (one[name] - two[name] for one, two in zip(rounds, base, strict=True))
                rows[key][f"added_{name}"] = round(median(added), 3)
        said[target.name] = rows
    return said


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="folder for LiteLLM's environment")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "gateway.json")
    given = parser.parse_args()
    before = os.getloadavg()[0]
    with targets(given.work) as found:
        measure(found, given.seconds, given.rounds)
        load_average = {"before": before, "after": os.getloadavg()[0]}
        record(given.out, summary(found), load_average=load_average, rounds=given.rounds)
    print(json.dumps(summary(found), indent=2))


if __name__ == "__main__":
    main()
