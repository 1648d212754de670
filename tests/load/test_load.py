"""The arrivals are as dense as the pattern says, and every broken promise is named."""

import random
from collections import Counter

import pytest

from tests.load.arrivals import SPIKE, SPIKE_FROM, SPIKE_TO, arrivals
from tests.load.memory import slope
from tests.load.mixes import MIXES
from tests.load.verdict import Answer, Plan, faults, phases

SECONDS = 100.0


def plan(pattern: str) -> Plan:
    return Plan("classifier", pattern, rate=10.0, seconds=SECONDS, capacity=50.0, budget=1.0)


def answers(
    pattern: str, *, took: float = 0.1, status: int = 200, says_when: bool = False
) -> list[Answer]:
    due = arrivals(pattern, 10.0, SECONDS, seed=1)
    return [Answer("classify", at, took, status, says_when) for at in due]


def test_requests_come_at_their_times_whatever_is_answered():
    due = list(arrivals("steady", 50.0, SECONDS, seed=3))
    assert due == sorted(due)
    assert len(due) == pytest.approx(5000, rel=0.05)
    assert due == list(arrivals("steady", 50.0, SECONDS, seed=3))


def test_a_spike_is_ten_times_as_dense():
    parts = Counter(
        SPIKE_FROM <= due / SECONDS < SPIKE_TO for due in arrivals("spike", 5.0, SECONDS, seed=3)
    )
    inside, outside = SPIKE_TO - SPIKE_FROM, 1 - SPIKE_TO + SPIKE_FROM
    assert parts[True] / inside == pytest.approx(SPIKE * parts[False] / outside, rel=0.2)


def test_a_ramp_ends_at_its_rate():
    due = list(arrivals("ramp", 50.0, SECONDS, seed=3))
    assert len([at for at in due if at > 90]) == pytest.approx(475, rel=0.2)
    assert len([at for at in due if at < 10]) < 100


def test_a_run_without_faults_passes():
    assert faults(plan("steady"), phases(answers("steady"), plan("steady"))) == []


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ({"status": 500}, "failed"),
        ({"status": 503}, "failed"),  # refused without a time to come back
        ({"took": 5.0}, "p99"),
        ({"status": 429, "says_when": True}, "refused without need"),
    ],
)
def test_what_breaks_a_limit_is_named(what: dict[str, object], named: str):
    broken = answers("steady", **what)  # type: ignore[arg-type]
    [fault] = faults(plan("steady"), phases(broken, plan("steady")))
    assert named in fault


def test_an_overload_may_refuse_but_must_go_on_working():
    refused = [
        Answer(a.name, a.due, a.took, 429 if n % 2 else 200, says_when=True)
        for n, a in enumerate(answers("spike"))
    ]
    assert not [f for f in faults(plan("spike"), phases(refused, plan("spike"))) if "spike" in f]
    nothing = [Answer(a.name, a.due, a.took, 429, says_when=True) for a in answers("spike")]
    assert [f for f in faults(plan("spike"), phases(nothing, plan("spike"))) if "goodput" in f]


def test_growth_is_told_from_noise():
    dice = random.Random(5)
    flat = [(float(at), 300 + dice.gauss(0, 2)) for at in range(0, 1800, 5)]
    grown = slope(flat)
    assert abs(grown["mib_per_hour"]) < 2 * grown["standard_error"] + 1
    leaking = slope([(at, mib + at / 36) for at, mib in flat])
    assert leaking["mib_per_hour"] == pytest.approx(100, abs=10)


@pytest.mark.parametrize("service", MIXES)
def test_a_mix_says_different_things_in_three_languages(service: str):
    dice = random.Random(7)
    wishes = [MIXES[service](dice) for _ in range(200)]
    texts = " ".join(str(wish.body) for wish in wishes)
    assert len({str(wish.body) for wish in wishes}) > 10
    assert any("а" <= letter <= "я" for letter in texts)
