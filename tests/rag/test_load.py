"""A folder goes in by one command, which goes on where it was interrupted."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from services.rag.app import create_app
from services.rag.settings import Settings
from tests.rag import files
from tests.rag.support import HashEmbedder
from tests.serving import on_a_port


@pytest.fixture(scope="module")
def url(database_url: str) -> Iterator[str]:
    settings = Settings(database_url=SecretStr(database_url))
    with on_a_port(create_app(settings, HashEmbedder())) as address:
        yield address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "a.md").write_text("# A\n\nFirst.")
    (tmp_path / "deep" / "er" / "hours.html").write_text(files.HTML)
    (tmp_path / "deep" / "b.pdf").write_bytes(files.pdf("Second."))
    (tmp_path / "faq.csv").write_text("question,answer\nWho?,Me.\n")
    (tmp_path / ".hidden.md").write_text("No.")
    (tmp_path / "picture.png").write_bytes(b"png")
    return tmp_path


def load(url: str, folder: Path, tenant: str, *more: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "services.rag.load", str(folder), "--collection", "docs"]
    ended = subprocess.run(
        [*command, "--url", url, "--tenant", tenant, *more], capture_output=True, check=False
    )
    assert ended.stdout, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    return ended.returncode, report


def listed(url: str, tenant: str) -> set[str]:
    answer = httpx2.get(
        f"{url}/v1/collections/docs/documents", headers={"X-Tenant": tenant}, trust_env=False
    )
    return {one["file"] for one in answer.json()["documents"]}


def test_all_readable_files_are_loaded_once(url, folder, tenant):
    first = load(url, folder, tenant)
    again = load(url, folder, tenant)
    assert first == (0, {"sent": 4, "unchanged": 0, "deleted": 0, "unreadable": []})
    assert again == (0, {"sent": 0, "unchanged": 4, "deleted": 0, "unreadable": []})
    assert listed(url, tenant) == {"a.md", "deep/b.pdf", "deep/er/hours.html", "faq.csv"}


def test_only_what_changed_is_sent_and_what_left_is_pruned_on_demand(url, folder, tenant):
    load(url, folder, tenant)
    (folder / "a.md").write_text("# A\n\nChanged.")
    (folder / "deep" / "b.pdf").unlink()
    _, kept = load(url, folder, tenant)
    _, pruned = load(url, folder, tenant, "--prune")
    assert (kept["sent"], kept["deleted"], pruned["deleted"]) == (1, 0, 1)
    assert "deep/b.pdf" not in listed(url, tenant)


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_loaded(url, folder, tenant):
    (folder / "bad.pdf").write_bytes(b"%PDF")
    (folder / "latin.txt").write_bytes("café".encode("latin-1"))
    code, report = load(url, folder, tenant)
    assert (code, report["sent"]) == (1, 4)
    assert [line.split(":")[0] for line in report["unreadable"]] == ["bad.pdf", "latin.txt"]
    assert "line 1" in report["unreadable"][1]
