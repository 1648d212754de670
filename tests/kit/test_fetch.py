"""Models are fetched once, checked, and only then found by those who wait for them."""

import subprocess
import sys
from pathlib import Path

import pytest

from kit import fetch
from kit.models import ModelUnavailable, chosen
from tests import hub_folders

REFERENCE = f"hub:{hub_folders.EMOTIONS}"


@pytest.fixture
def models_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in which the hub's client finds a repository that it has downloaded."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text('{"architectures": ["NothingToExport"]}')
    (source / "weights.bin").write_bytes(b"weights")
    hub_folders.into_cache(tmp_path / "models", hub_folders.EMOTIONS, source)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path / "models"


def blob(models_dir: Path) -> Path:
    snapshots = models_dir / "hub" / f"models--{hub_folders.EMOTIONS.replace('/', '--')}"
    return (next((snapshots / "snapshots").iterdir()) / "weights.bin").resolve()


def test_a_fetched_model_counts_as_there(models_dir: Path):
    assert fetch.fetch(REFERENCE, models_dir) == hub_folders.COMMIT[:12]
    assert not fetch.missing(REFERENCE, models_dir)


def test_half_a_download_does_not_count(models_dir: Path):
    assert fetch.missing(REFERENCE, models_dir) == f"{REFERENCE} is not fetched yet"


def test_a_damaged_file_is_deleted_and_the_model_does_not_count(models_dir: Path):
    blob(models_dir).write_bytes(b"weight?")
    with pytest.raises(ModelUnavailable, match="damaged"):
        fetch.fetch(REFERENCE, models_dir)
    assert not blob(models_dir).exists()
    assert fetch.missing(REFERENCE, models_dir)


def test_another_revision_is_another_model(models_dir: Path):
    fetch.fetch(REFERENCE, models_dir)
    assert fetch.missing(f"{REFERENCE}@v2", models_dir)


def test_settings_name_what_is_fetched(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAG_EMBEDDER", "hub:a/b")
    monkeypatch.setenv("RAG_DATABASE_URL", "postgresql://nobody")
    assert "hub:a/b" in chosen(["--service", "rag"])
    assert "hub:a/b" not in chosen(["--service", "qa"])
    assert not [each for each in chosen([]) if "nobody" in each]


def test_whoever_waits_goes_on_when_the_model_is_there(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MODELS_DIR", str(models_dir))
    monkeypatch.setenv("NOBODY_MODEL", REFERENCE)
    command = [sys.executable, "-m", "kit.fetch", "--wait", "nobody"]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert waiting.stdout is not None
    assert "is not fetched yet" in waiting.stdout.readline()
    fetch.fetch(REFERENCE, models_dir)
    assert waiting.wait(30) == 0
    waiting.stdout.close()
