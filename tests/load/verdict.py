"""What a run must be like to pass."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from tests.load.arrivals import SPIKE_FROM, SPIKE_TO

SHED_STATUSES = (429, 503)
GRACE = 1.1  # what the client's own machine may add to a budget
MIN_GOODPUT = 0.85  # of capacity, while more than that is asked for
MAX_SHED = 0.01  # while less than that is asked for


@dataclass(frozen=True)
class Answer:
    """One request: when it was due, how long after that its answer came, and which it was."""

    name: str
    due: float
    took: float
    status: int
    says_when: bool

    @property
    def is_good(self) -> bool:
        """Tell whether it did what was asked."""
        return 200 <= self.status < 300

    @property
    def is_refused(self) -> bool:
        """Tell whether it was refused as it should be: with the time to come back."""
        return self.status in SHED_STATUSES and self.says_when


@dataclass(frozen=True)
class Plan:
    """What was sent: base and capacity in requests per second."""

    service: str
    pattern: str
    rate: float
    seconds: float
    capacity: float
    budget: float


def summary(answers: Sequence[Answer], seconds: float, budget: float) -> dict[str, Any]:
    """Return rates per second, shares, and the times of accepted requests in milliseconds."""
    times = [answer.took * 1000 for answer in answers if answer.is_good] or [0.0]
    refused = [answer for answer in answers if answer.is_refused]
    in_time = sum(answer.is_good and answer.took <= budget * GRACE for answer in answers)
    failed = [answer for answer in answers if not (answer.is_good or answer.is_refused)]
    cuts = quantiles(times, n=100) if len(times) > 1 else times * 99
    return {
        "sent": len(answers),
        "offered_per_second": round(len(answers) / seconds, 2),
        "goodput_per_second": round(in_time / seconds, 2),
        "p50_ms": round(median(times)),
        "p99_ms": round(cuts[98]),
        "shed_share": round(len(refused) / max(1, len(answers)), 4),
        "failed": len(failed),
        "statuses": dict(Counter(str(answer.status) for answer in answers)),
    }


def between(answers: Sequence[Answer], plan: Plan, first: float, last: float) -> dict[str, Any]:
    """Summarise what was due between two shares of the time."""
    chosen = [a for a in answers if first * plan.seconds <= a.due < last * plan.seconds]
    return summary(chosen, (last - first) * plan.seconds, plan.budget)


def phases(answers: Sequence[Answer], plan: Plan) -> dict[str, dict[str, Any]]:
    """Return the parts of a run that are judged apart."""
    if plan.pattern == "spike":
        return {
            "before": between(answers, plan, 0.0, SPIKE_FROM),
            "spike": between(answers, plan, SPIKE_FROM, SPIKE_TO),
            "after": between(answers, plan, 0.85, 1.0),
        }
    if plan.pattern == "ramp":
        return {
            "start": between(answers, plan, 0.0, 0.2),
            "collapse": between(answers, plan, 0.7, 1.0),
        }
    return {"whole": between(answers, plan, 0.0, 1.0)}


def faults(plan: Plan, parts: dict[str, dict[str, Any]]) -> list[str]:
    """Return what was not as it must be."""
    found = []
    for name, part in parts.items():
        if part["failed"]:
            found.append(f"{name}: {part['failed']} failed: {part['statuses']}")
        if part["p99_ms"] > plan.budget * 1000 * GRACE:
            found.append(f"{name}: p99 {part['p99_ms']} ms of accepted is over the budget")
        is_overload = name in ("spike", "collapse")
        if is_overload and part["goodput_per_second"] < MIN_GOODPUT * plan.capacity:
            found.append(f"{name}: goodput {part['goodput_per_second']} of {plan.capacity:.1f}/s")
        if not is_overload and part["shed_share"] > MAX_SHED:
            found.append(f"{name}: {part['shed_share']:.1%} refused without need")
    return found
