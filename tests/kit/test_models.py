import json
import multiprocessing
from pathlib import Path

import pytest

from kit import models
from kit.models import ModelUnavailable, resolve


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("embedded:nothing", "No embedded model is called 'nothing'; there are"),
        ("path:/no/such/folder", "does not exist"),
        ("roberta", "is no model reference: use embedded:NAME"),
        ("", "is no model reference"),
    ],
)
def test_a_wrong_reference_says_what_to_do(reference: str, message: str, tmp_path: Path):
    with pytest.raises(ModelUnavailable, match=message):
        resolve(reference, tmp_path)


def test_a_folder_is_taken_as_it_is(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    model = resolve(f"path:{tmp_path}", tmp_path)
    assert model.file("missing.json", "config.json") == tmp_path / "config.json"


def test_a_missing_file_names_what_was_looked_for(tmp_path: Path):
    with pytest.raises(ModelUnavailable, match=r"holds none of a\.onnx, b\.onnx"):
        resolve(f"path:{tmp_path}", tmp_path).file("a.onnx", "b.onnx")


@pytest.mark.parametrize("changed", ["config.json", "adapter.safetensors"])
def test_a_changed_file_of_an_adapter_makes_a_new_revision(changed: str):
    entry = models.catalogue()["qa"]
    other = {**entry, "files": {**entry["files"], changed: "0" * 64}}
    assert models._revision(other) != models._revision(entry)


def test_every_committed_weight_is_the_listed_one():
    for name, entry in models.catalogue().items():
        if "package" not in entry:
            models.verify(models.SOURCES / name, entry["files"])


def test_every_model_says_its_source_licence_and_services():
    for name, entry in models.catalogue().items():
        assert {"services", "task", "source", "licence", "files"} <= entry.keys(), name


@pytest.mark.weights
def test_a_damaged_model_is_prepared_again(tmp_path: Path):
    graph = resolve("embedded:minilm", tmp_path).path / "onnx" / "model_quantized.onnx"
    size = graph.stat().st_size
    graph.write_bytes(b"damaged")
    resolve("embedded:minilm", tmp_path)
    assert graph.stat().st_size == size


@pytest.mark.weights
def test_processes_that_start_together_prepare_a_model_once(tmp_path: Path):
    spawn = multiprocessing.get_context("spawn")
    starters = [spawn.Process(target=resolve, args=("embedded:minilm", tmp_path)) for _ in "ab"]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(120)
    assert [starter.exitcode for starter in starters] == [0, 0]
    manifest = json.loads((tmp_path / "minilm" / "manifest.json").read_text())
    models.verify(tmp_path / "minilm", manifest["files"])


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"files": {}}', '{"files": []}', "7"])
def test_a_manifest_that_is_none_counts_as_not_prepared(
    manifest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    prepared: list[str] = []
    monkeypatch.setattr(models, "_prepare", lambda model, _: prepared.append(model.name))
    (tmp_path / "minilm").mkdir()
    (tmp_path / "minilm" / "manifest.json").write_text(manifest)
    resolve("embedded:minilm", tmp_path)
    assert prepared == ["minilm"]


def test_a_models_folder_that_cannot_be_written_is_one_clear_sentence(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ModelUnavailable, match=r"minilm cannot be prepared: .*File exists"):
        resolve("embedded:minilm", tmp_path / "file")
