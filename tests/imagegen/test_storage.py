"""Pictures in a folder."""

import asyncio
import os
from pathlib import Path

import pytest

from services.imagegen.storage import Storage


@pytest.mark.parametrize("form", ["{}", "file://{}"])
async def test_a_stored_picture_is_flushed_to_the_disk_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    flushed: set[Path] = set()

    def fsync(handle: int) -> None:
        flushed.add(Path(f"/proc/self/fd/{handle}").resolve())

    monkeypatch.setattr(os, "fsync", fsync)
    folder = tmp_path / "pictures"
    storage = await asyncio.to_thread(Storage.at, form.format(folder))
    await storage.put("tenant=ann/id/1/0.png", b"picture")
    place = folder / "tenant=ann" / "id" / "1"
    assert flushed == {place, place / "0.png"}
    assert await storage.get("tenant=ann/id/1/0.png") == b"picture"
