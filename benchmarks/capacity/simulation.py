"""A discrete-event simulation of the services: requests visit one process after another."""

import math
import random
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

import simpy

SPREAD = 0.5  # coefficient of variation of a visit: texts differ in length
VISITS = ("gateway", "classifier", "rag", "qa", "imagegen", "redis", "worker")
POLL_SECONDS = 15.0  # KEDA asks so often
Cores = Mapping[str, int]


@dataclass
class Outcome:
    """What came of a simulated load."""

    seconds: list[float] = field(default_factory=list)

    def percentile(self, percent: int) -> float:
        """Return the time under which so many percent stayed."""
        return quantiles(self.seconds, n=100)[percent - 1]


def visit_seconds(dice: random.Random, mean: float) -> float:
    """Return how long one visit takes: gamma with the measured mean."""
    shape = 1 / SPREAD**2
    return dice.gammavariate(shape, mean / shape)


def serve(
    costs: Mapping[str, Mapping[str, float]],
    mix: Mapping[str, float],
    rate: float,
    cores: Cores,
    *,
    seconds: float,
    seed: int = 1,
) -> Outcome:
    """Send a mix at a rate; every process has its cores, or all share those of `machine`."""
    env, dice, outcome = simpy.Environment(), random.Random(seed), Outcome()
    stations = {name: simpy.Resource(env, number) for name, number in cores.items() if number}

    def request(kind: str) -> Generator[simpy.Event, Any]:
        began = env.now
        for name in (*VISITS, "client"):
            mean = costs[kind].get(name, 0.0)
            station = stations.get("machine") or stations.get(name)
            if not mean or station is None:
                continue
            with station.request() as turn:
                yield turn
                yield env.timeout(visit_seconds(dice, mean))
        outcome.seconds.append(env.now - began)

    def arrive() -> Generator[simpy.Event, Any]:
        kinds, weights = list(mix), list(mix.values())
        while env.now < seconds:
            yield env.timeout(dice.expovariate(rate))
            env.process(request(dice.choices(kinds, weights)[0]))

    env.process(arrive())
    env.run()
    return outcome


def cores_needed(
    costs: Mapping[str, Mapping[str, float]],
    mix: Mapping[str, float],
    rate: float,
    utilisation: float,
) -> dict[str, int]:
    """Return the cores per process that keep each below a utilisation."""
    whole = sum(mix.values())
    load = {
        name: rate * sum(mix[kind] / whole * costs[kind].get(name, 0.0) for kind in mix)
        for name in VISITS
    }
    return {name: math.ceil(work / utilisation) for name, work in load.items() if work}


@dataclass(frozen=True)
class Scaling:
    """How workers are added and taken away, as KEDA has HPA do it with the larger of two wishes.

    The wait alone would take away the workers that keep it short, so what they do counts as well.
    """

    target_seconds: float  # of waiting: so many workers that it comes down to this
    start_seconds: float  # from the decision to the first picture: node, image, model
    least: int
    most: int
    target_busy: float | None = 0.7  # of each worker's time
    stable_seconds: float = 300.0  # nothing is taken away before so long without need

    def wanted(self, ready: int, wait: float, busy: float) -> int:
        """Return workers for a wait in seconds and a number of workers that were busy."""
        wanted = math.ceil(ready * wait / self.target_seconds)
        if self.target_busy:
            wanted = max(wanted, math.ceil(busy / self.target_busy))
        return min(self.most, max(self.least, wanted))


def absorb(
    scaling: Scaling, picture_seconds: float, rates: Sequence[tuple[float, float]], seed: int = 1
) -> list[dict[str, float]]:
    """Return workers and wait, minute by minute, for (from second, pictures per second) steps."""
    dice, backlog, ready = random.Random(seed), 0.0, scaling.least
    starting: list[float] = []
    wishes: list[tuple[float, int]] = []
    busy: deque[float] = deque(maxlen=120)
    seen: list[dict[str, float]] = []
    for second in range(int(rates[-1][0])):
        rate = next(r for since, r in reversed(rates) if since <= second)
        ready += sum(at <= second for at in starting)
        starting = [at for at in starting if at > second]
        backlog += _poisson(dice, rate) * picture_seconds
        busy.append(min(backlog, ready))
        backlog -= busy[-1]
        if second % POLL_SECONDS == 0:
            wanted = scaling.wanted(ready, backlog / ready, sum(busy) / len(busy))
            wishes = [(at, n) for at, n in wishes if at > second - scaling.stable_seconds]
            wishes.append((second, wanted))
            present = ready + len(starting)
            allowed = max(2 * present, present + 4)  # HPA's usual pace per period
            starting += [second + scaling.start_seconds] * (min(wanted, allowed) - present)
            if not starting:
                ready = min(ready, max(n for _, n in wishes))
        if second % 60 == 0:
            wait = round(backlog / ready, 1)
            seen.append({"second": second, "workers": ready, "wait_seconds": wait})
    return seen


def _poisson(dice: random.Random, mean: float) -> int:
    number, left = 0, 1.0
    while mean:
        left -= dice.expovariate(mean)
        if left < 0:
            break
        number += 1
    return number
