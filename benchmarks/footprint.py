"""What each running service takes of a machine: `python -m benchmarks.footprint`.

Starts the system on free ports, lets it idle, then sends a mix of usual requests from several clients, and
reads each process's memory from /proc: resident after the start, and the highest ever (`VmHWM`). The
requests and limits of deploy/kubernetes stand on these figures. Writes results/footprint.json.
"""

import argparse
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.setting import RESULTS, client, post, record, with_own_system
from local.stack import Stack

SECONDS, CLIENTS = 30.0, 4
TEXT = "Thank you so much, this is exactly what I was hoping for all week long!"
CONTEXT = "The lighthouse on the cape was built by the engineer Ada Lindqvist. " * 60
NAMES = {
    "services.gateway.app": "gateway",
    "services.classifier.app": "classifier",
    "services.qa.app": "qa",
    "services.imagegen.app": "imagegen",
    "services.imagegen.worker": "imagegen-worker",
    "services.rag.app": "rag",
    "services.console.app": "console",
}
SERVERS = {"redis-server": "redis", "valkey-server": "redis", "postgres": "postgres"}


def processes() -> dict[str, psutil.Process]:
    """Return the running services by name, with Redis and the chief process of PostgreSQL."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        words = process.cmdline()
        named = next((NAMES[word] for word in words if word in NAMES), "")
        named = named or SERVERS.get(process.name(), "")
        if named and named not in found:
            found[named] = process
    return found


def mebibytes(process: psutil.Process, field: str) -> int:
    """Return a line of /proc/PID/status, which counts in KiB."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith(field))
    return round(int(line.split()[1]) / 1024)


def ask(url: str, until: float, sent: list[int]) -> None:
    """Send the mix until the time is over."""
    with client(url) as gateway:
        while time.monotonic() < until:
            post(gateway, "/v1/classify", {"texts": [TEXT] * 16})
            post(gateway, "/v1/answer", {"question": "Who built it?", "context": CONTEXT})
            search = {"query": "lighthouse", "k": 3}
            post(gateway, "/v1/collections/footprint/search", search)
            wish = {"text": "draw a red circle above a blue square"}
            post(gateway, "/v1/assist", wish, Prefer="wait=60")
            sent[0] += 4


def measure(stack: Stack) -> dict[str, Any]:
    """Read everyone's memory at rest and under load."""
    running = processes()
    idle = {name: mebibytes(process, "VmRSS") for name, process in running.items()}
    with client(stack.url("gateway")) as gateway:
        gateway.put("/v1/collections/footprint", json={}).raise_for_status()
        document = {"id": "one", "title": "Lighthouse", "text": CONTEXT}
        post(gateway, "/v1/collections/footprint/documents", {"documents": [document]})
    began = {name: sum(process.cpu_times()[:2]) for name, process in running.items()}
    sent, until = [0], time.monotonic() + SECONDS
    threads = [
        threading.Thread(target=ask, args=(stack.url("gateway"), until, sent))
        for _ in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "requests": sent[0],
        "processes": {
            name: {
                "idle_mib": idle[name],
                "peak_mib": mebibytes(process, "VmHWM"),
                "cpu_seconds": round(sum(process.cpu_times()[:2]) - began[name], 1),
            }
            for name, process in sorted(running.items())
        },
    }


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "footprint.json")
    arguments = parser.parse_args()
    results = with_own_system(measure)
    record(arguments.out, results, seconds=SECONDS, clients=CLIENTS)
    for name, figures in results["processes"].items():
        print(f"{name:16} {figures}")


if __name__ == "__main__":
    main()
