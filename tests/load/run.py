"""Load one service alone, or the gateway: `python -m tests.load.run classifier --pattern spike`.

Starts the whole system with data of its own (or takes the one at --url), finds out how much the
service can do, sends a pattern of requests that does not wait for answers, and judges: steady at 60 %
of capacity, a spike of ten times the usual, a ramp to three times what can be done, or a soak, which
also watches the memory. Writes benchmarks/results/load/SERVICE-PATTERN.json and, beside the reports
of locust, an HTML page into --reports; exits with 1 where a limit was missed.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.setting import RESULTS, record, with_own_system
from local.stack import ROOT, Stack
from tests.load.arrivals import PATTERNS, SPIKE
from tests.load.memory import slope, watch
from tests.load.mixes import BUDGET_SECONDS, COLLECTION, MIXES, documents
from tests.load.verdict import Answer, Plan, faults, phases

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
CALLERS = 16
CALIBRATE_SECONDS = 8.0
# The rate at its most, as a share of capacity; a spike's rate is what is usual around it.
SHARES = {"steady": 0.6, "spike": 2.0 / SPIKE, "ramp": 3.0, "soak": 0.3}
MAX_SLOPE_SHARE_PER_HOUR = 0.02  # of a process's memory: what a soak cannot tell from noise


async def capacity(service: str, url: str, seconds: float) -> float:
    """Return requests per second when a few callers send the next as soon as one is answered."""
    dice = random.Random(0)
    async with httpx2.AsyncClient(base_url=url, timeout=60.0, trust_env=False) as client:
        if service in ("rag", "gateway"):
            root = f"/v1/collections/{COLLECTION}"
            await client.put(root, json={})
            await client.post(f"{root}/documents", json=documents(), headers={"Prefer": "wait=60"})
        ends = time.monotonic() + seconds
        done = 0

        async def call() -> None:
            nonlocal done
            while time.monotonic() < ends:
                wish = MIXES[service](dice)
                answer = await client.post(wish.path, json=wish.body, headers=wish.headers)
                if answer.status_code == 202 and service == "imagegen":
                    events = f"{answer.headers['Location']}/events"
                    await client.get(events, headers=wish.headers)
                done += answer.is_success

        started = time.monotonic()
        await asyncio.gather(*(call() for _ in range(CALLERS)))
        return done / (time.monotonic() - started)


def send(plan: Plan, url: str, reports: Path) -> list[Answer]:
    """Run locust, a process of its own, and return what became of every request."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        options = {
            "pattern": plan.pattern,
            "rate": plan.rate,
            "seconds": plan.seconds,
            "answers": file.name,
            "host": url,
            "html": reports / f"{plan.service}-{plan.pattern}.html",
            "users": 1,
        }
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless"]
        command += [f"--{name}={value}" for name, value in options.items()]
        command += ["--only-summary", "--exit-code-on-error=0", plan.service.capitalize()]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run(command, check=True, cwd=ROOT, env=environment)
        lines = Path(file.name).read_text(encoding="utf-8").splitlines()
    return [Answer(**json.loads(line)) for line in lines]


async def soak(plan: Plan, url: str, reports: Path, stack: Stack | None) -> dict[str, Any]:
    """Send for long and watch the memory of what we started."""
    pids = {}
    if stack:
        found = {name: stack.supervisor.pid(name) for name in stack.ports}
        pids = {name: pid for name, pid in found.items() if pid}
    watching = asyncio.create_task(watch(pids, plan.seconds, max(1.0, plan.seconds / 360)))
    answers = await asyncio.to_thread(send, plan, url, reports)
    grown = {name: slope(series) for name, series in (await watching).items()}
    return judged(plan, answers, grown)


def judged(plan: Plan, answers: list[Answer], memory: dict[str, Any]) -> dict[str, Any]:
    """Return the phases and every limit that was missed."""
    parts = phases(answers, plan)
    missed = faults(plan, parts)
    for name, grown in memory.items():
        certain = grown["mib_per_hour"] - 2 * grown["standard_error"]
        if certain > MAX_SLOPE_SHARE_PER_HOUR * grown["last_mib"]:
            missed.append(f"{name}: memory grows by {grown['mib_per_hour']} MiB an hour")
    return {"plan": vars(plan), "phases": parts, "memory": memory, "missed": missed}


def measure(args: argparse.Namespace, url: str, stack: Stack | None = None) -> dict[str, Any]:
    """Calibrate, send and judge."""
    can = asyncio.run(capacity(args.service, url, CALIBRATE_SECONDS))
    print(f"{args.service} does {can:.1f} requests/s", flush=True)
    rate = args.rate or can * SHARES[args.pattern]
    budget = BUDGET_SECONDS[args.service]
    plan = Plan(args.service, args.pattern, rate, args.seconds, can, budget)
    if args.pattern == "soak":
        return asyncio.run(soak(plan, url, args.reports, stack))
    return judged(plan, send(plan, url, args.reports), {})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one service through one pattern."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("service", choices=MIXES)
    parser.add_argument("--pattern", choices=PATTERNS, default="steady")
    parser.add_argument("--url", help="a running service, instead of an own system")
    parser.add_argument("--rate", type=float, help="requests per second, instead of a share")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--reports", type=Path, default=ROOT / ".run" / "load")
    parser.add_argument("--out", type=Path, default=RESULTS / "load")
    args = parser.parse_args(arguments)
    args.reports.mkdir(parents=True, exist_ok=True)
    before = os.getloadavg()[0]
    if args.url:
        results = measure(args, args.url)
    else:
        results = with_own_system(lambda stack: measure(args, stack.url(args.service), stack))
    out = args.out / f"{args.service}-{args.pattern}.json"
    record(out, results, load_average={"before": before, "after": os.getloadavg()[0]})
    for name, part in results["phases"].items():
        print(name, part)
    for name, grown in results["memory"].items():
        print(name, grown)
    print(*(results["missed"] or ["passed"]), sep="\n")
    return 1 if results["missed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
