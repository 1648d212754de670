"""Every kind of fault once; `make chaos` has a hundred rounds."""

from pathlib import Path

from tests.chaos.run import FAULTS, chaos


async def test_nothing_is_lost_or_shown_twice_whatever_is_killed(tmp_path: Path) -> None:
    counted = await chaos(tmp_path, rounds=len(FAULTS), seed=7)
    assert counted["violations"] == []
    assert counted["stuck"] == 0
    assert counted["faults"] == dict.fromkeys(sorted(FAULTS), 1)
    assert counted["dead"] >= 1  # the poisonous one
    assert counted["redelivered"] >= 3
    assert counted["refused_results"] >= 1  # that of who was frozen delivering
    assert counted["done"] + counted["failed"] + counted["cancelled"] == counted["acknowledged"]
