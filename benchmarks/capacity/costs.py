"""What each kind of request costs each process, in processor seconds, on the running system."""

import asyncio
import os
import random
from pathlib import Path

import httpx2

from local.stack import Stack
from tests.load.mixes import COLLECTION, Wish, documents, gateway

TICKS = os.sysconf("SC_CLK_TCK")
CALLERS = 4
KINDS = ("classify", "answer", "ask", "draw")


def cpu_seconds(pid: int) -> float:
    """Return a process's processor time with its living children's."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    own = (int(fields[11]) + int(fields[12])) / TICKS
    return own + sum(cpu_seconds(int(child)) for child in children)


def wishes(kind: str, number: int) -> list[Wish]:
    """Return requests of one kind out of the gateway's mix."""
    dice = random.Random(11)
    found: list[Wish] = []
    while len(found) < number:
        wish = gateway(dice)
        if wish.name == kind:
            found.append(wish)
    return found


async def costs(stack: Stack, number: int) -> dict[str, dict[str, float]]:
    """Send each kind by itself and see who worked how long for it."""
    async with httpx2.AsyncClient(
        base_url=stack.url("gateway"), timeout=120.0, trust_env=False
    ) as client:
        root = f"/v1/collections/{COLLECTION}"
        await client.put(root, json={})
        await client.post(f"{root}/documents", json=documents(), headers={"Prefer": "wait=60"})
        found = {}
        for kind in KINDS:
            some = number // 4 if kind == "draw" else number
            await _send(client, wishes(kind, max(CALLERS, some // 4)))  # warms caches and pools
            found[kind] = await _cost(stack, client, wishes(kind, some))
        return found


async def _cost(stack: Stack, client: httpx2.AsyncClient, some: list[Wish]) -> dict[str, float]:
    names = [*stack.ports, "redis"]
    pids = {name: stack.supervisor.pid(name) or 0 for name in names} | {"client": os.getpid()}
    before = {name: _own(name, pid) for name, pid in pids.items()}
    await _send(client, some)
    after = {name: _own(name, pid) for name, pid in pids.items()}
    return {name: (after[name] - before[name]) / len(some) for name in pids}


def _own(name: str, pid: int) -> float:
    if name == "client":  # whose children are the system
        times = os.times()
        return times.user + times.system
    return cpu_seconds(pid)


async def _send(client: httpx2.AsyncClient, some: list[Wish]) -> None:
    left = list(some)

    async def caller() -> None:
        while left:
            wish = left.pop()
            headers = wish.headers | {"Prefer": "wait=60"}
            (await client.post(wish.path, json=wish.body, headers=headers)).raise_for_status()

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
