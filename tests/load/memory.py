"""Whether a running system's memory grows."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import linear_regression
from typing import Any

SETTLED_FROM = 0.3  # of the run: caches and pools fill first


def resident_mib(pid: int) -> float:
    """Return a process's resident memory with its children's."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) / 256
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return pages + sum(resident_mib(int(child)) for child in children)


async def watch(
    pids: Mapping[str, int], seconds: float, every: float
) -> dict[str, list[tuple[float, float]]]:
    """Return (seconds, MiB) of each process over a while."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in pids}
    while (now := loop.time() - started) < seconds:
        for name, pid in pids.items():
            seen[name].append((now, resident_mib(pid)))
        await asyncio.sleep(every)
    return seen


def slope(series: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return the growth in MiB per hour once settled, and its standard error."""
    settled = [(at, mib) for at, mib in series if at >= SETTLED_FROM * series[-1][0]]
    hours, mib = zip(*((at / 3600, size) for at, size in settled), strict=True)
    grows, begins = linear_regression(hours, mib)
    left = [size - (begins + grows * at) for at, size in zip(hours, mib, strict=True)]
    middle = sum(hours) / len(hours)
    spread = sum((at - middle) ** 2 for at in hours)
    # What one sample says of the next is not news: the error counts every tenth as independent.
    error = (10 * sum(each**2 for each in left) / (len(left) - 2) / spread) ** 0.5
    return {
        "mib_per_hour": round(grows, 1),
        "standard_error": round(error, 1),
        "first_mib": round(mib[0]),
        "last_mib": round(mib[-1]),
    }
