"""Some kills of everything; `make chaos-rag` has a thousand uploads."""

from pathlib import Path

from tests.chaos.rag import chaos


async def test_no_acknowledged_document_is_lost_or_seen_in_part_whatever_is_killed(short_dir: Path):
    folder = short_dir / "chaos"
    folder.mkdir()
    folder.chmod(0o711)
    counted = await chaos(folder, ingests=60, seed=5)
    assert counted["violations"] == []
    for setting in ("own server", "two replicas"):
        one = counted[setting]
        assert one["acknowledged"] >= 30
        assert one["lost"] == 0
        assert one["looks"] > 0
        assert sum(one["kills"].values()) >= 1
