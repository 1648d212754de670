"""The simulation agrees with what queueing theory knows, and scaling neither starves nor flaps."""

from dataclasses import replace

import pytest

from benchmarks.capacity.simulation import Scaling, absorb, cores_needed, serve

COSTS = {"classify": {"gateway": 0.002, "classifier": 0.008}}
MIX = {"classify": 1.0}
SCALING = Scaling(target_seconds=20.0, start_seconds=90.0, least=1, most=64)
BUSY = [(0.0, 5.0), (3600.0, 5.0)]


def test_without_company_a_request_takes_its_own_time():
    outcome = serve(COSTS, MIX, 1.0, {"gateway": 1, "classifier": 1}, seconds=2000)
    mean = sum(outcome.seconds) / len(outcome.seconds)
    assert mean == pytest.approx(0.010, rel=0.05)


def test_a_busy_station_waits_as_long_as_pollaczek_and_khinchine_say():
    rate, service = 75.0, 0.008
    outcome = serve({"a": {"classifier": service}}, {"a": 1}, rate, {"classifier": 1}, seconds=900)
    load = rate * service
    expected = service + load * service * (1 + 0.5**2) / (2 * (1 - load))
    assert sum(outcome.seconds) / len(outcome.seconds) == pytest.approx(expected, rel=0.1)


def test_cores_keep_each_process_below_the_utilisation():
    assert cores_needed(COSTS, MIX, 1000, 0.5) == {"gateway": 4, "classifier": 16}


def test_a_spike_is_absorbed_and_workers_leave_afterwards():
    rates = [(0.0, 0.5), (300.0, 5.0), (1200.0, 0.5), (3000.0, 0.5)]
    seen = absorb(SCALING, 1.0, rates)
    waits = {each["second"]: each["wait_seconds"] for each in seen}
    assert max(waits.values()) > 20  # starting takes its time
    assert all(wait < 20 for second, wait in waits.items() if second >= 600)
    assert seen[-1]["workers"] <= 2


def test_the_wait_alone_takes_away_the_workers_that_keep_it_short():
    by_both = absorb(SCALING, 1.0, BUSY)
    by_wait = absorb(replace(SCALING, target_busy=None), 1.0, BUSY)
    late = [each["wait_seconds"] for each in by_both if each["second"] > 900]
    assert max(late) < 20
    assert max(each["wait_seconds"] for each in by_wait if each["second"] > 900) > 20
