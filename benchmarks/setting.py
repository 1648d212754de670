"""Where a measurement took place: the running system, and the record of machine and commit."""

import asyncio
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from local.stack import ROOT, Stack, free_ports, running

RESULTS = Path(__file__).parent / "results"
# A loaded machine shall not turn answers into timeouts; what waits longer than this is broken.
BUDGET_MS = 60_000


def client(url: str) -> httpx2.Client:
    """Return a client for a service or the gateway that is patient enough for loaded machines."""
    budget = {"X-Request-Timeout-Ms": str(BUDGET_MS)}
    return httpx2.Client(base_url=url, timeout=BUDGET_MS / 1000 + 10, headers=budget)


def post(service: httpx2.Client, path: str, body: Any, **headers: str) -> Any:
    """Return the JSON that a path answers; raise httpx2.HTTPStatusError for anything but success."""
    return service.post(path, json=body, headers=headers).raise_for_status().json()


def with_own_system(measure: Callable[[Stack], dict[str, Any]]) -> dict[str, Any]:
    """Start the whole system on free ports with data of its own, measure, and stop it."""

    async def run(data: Path, logs: Path) -> dict[str, Any]:
        async with running(free_ports(), echo=False, data=data, run=logs) as stack:
            return await asyncio.to_thread(measure, stack)

    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, PostgreSQL runs as another user
        return asyncio.run(run(folder / "data", folder / "run"))


def machine() -> dict[str, Any]:
    """Describe this machine as far as numbers depend on it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "python": platform.python_version(),
    }


def commit() -> str:
    """Return the checked out commit, `-dirty` behind it when files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"]
    return subprocess.run(  # noqa: S603 - a fixed command
        command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def record(out: Path, results: dict[str, Any], **more: Any) -> None:
    """Write results with machine, commit and date."""
    date = datetime.now(UTC).date().isoformat()
    content = {"machine": machine(), "commit": commit(), "date": date, **more, "results": results}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
