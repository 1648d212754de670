"""Weights without a graph become one that says the same, once, and never with a weight made up."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnxruntime
import pytest
import torch

from kit import export, models
from kit.models import ModelUnavailable, resolve
from tests import hub_folders

TENSORFLOW = Path(__file__).parents[1] / "qa" / "tensorflow"
each_kind = pytest.mark.parametrize("kind", ["distilbert", "bert", "roberta"])
SPANS = ("start_logits", "end_logits")


def recorded(kind: str) -> dict[str, Any]:
    """Return inputs and what TensorFlow itself computed for them."""
    found: dict[str, Any] = json.loads((TENSORFLOW / kind / "logits.json").read_text())
    return {name: np.array(value) for name, value in found.items()}


def run(graph: Path, inputs: dict[str, Any]) -> list[Any]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    ids = inputs["input_ids"]
    known = {**inputs, "token_type_ids": np.zeros_like(ids)}
    feed = {node.name: known[node.name] for node in session.get_inputs()}
    return list(session.run(list(SPANS), feed))


def furthest(found: Any, expected: Any, inputs: dict[str, Any]) -> float:
    difference = np.abs(np.asarray(found) - np.asarray(expected))
    return float(difference[inputs["attention_mask"] == 1].max())


@each_kind
def test_a_tensorflow_checkpoint_says_in_torch_and_in_onnx_what_it_said_in_tensorflow(
    kind: str, tmp_path: Path
):
    said = recorded(kind)
    model = export.load(TENSORFLOW / kind, "tf_model.h5")
    with torch.no_grad():
        output = model(
            input_ids=torch.tensor(said["input_ids"]),
            attention_mask=torch.tensor(said["attention_mask"]),
        )
    export.trace(model, tmp_path / "model.onnx")
    graphs = run(tmp_path / "model.onnx", said)
    for name, exported in zip(SPANS, graphs, strict=True):
        assert furthest(output[name], said[name], said) < 1e-4
        assert furthest(exported, said[name], said) < 1e-4


def test_the_int8_graph_stays_close_and_keeps_the_head_exact(tmp_path: Path):
    said = recorded("distilbert")
    model = export.load(TENSORFLOW / "distilbert", "tf_model.h5")
    export.trace(model, tmp_path / "full.onnx")
    export.quantize(tmp_path / "full.onnx", tmp_path / "small.onnx")
    for name, found in zip(SPANS, run(tmp_path / "small.onnx", said), strict=True):
        assert 0 < furthest(found, said[name], said) < 0.5
    assert b"qa_outputs.weight_quantized" not in (tmp_path / "small.onnx").read_bytes()


def test_a_long_list_of_names_is_read_from_its_parts(tmp_path: Path):
    checkpoint = copied("bert", tmp_path) / "tf_model.h5"
    with h5py.File(checkpoint, "r+") as file:
        names = [name.encode() for name in file["bert"].attrs["weight_names"]]
        del file["bert"].attrs["weight_names"]
        file["bert"].attrs["weight_names0"] = names[:20]
        file["bert"].attrs["weight_names1"] = names[20:]
    export.load(tmp_path / "bert", "tf_model.h5")


def copied(kind: str, into: Path) -> Path:
    return Path(shutil.copytree(TENSORFLOW / kind, into / kind))


def test_a_checkpoint_without_its_head_is_refused(tmp_path: Path):
    folder = copied("distilbert", tmp_path)
    with h5py.File(folder / "tf_model.h5", "r+") as file:
        file["qa_outputs"].attrs["weight_names"] = []
    with pytest.raises(ModelUnavailable, match=r"it lacks qa_outputs\.bias, qa_outputs\.weight"):
        resolve(f"path:{folder}", tmp_path / "models")


def test_a_checkpoint_of_other_sizes_is_refused(tmp_path: Path):
    folder = copied("distilbert", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dim": 32}))
    with pytest.raises(ModelUnavailable, match=r"it lacks .* in all"):
        resolve(f"path:{folder}", tmp_path / "models")


@pytest.mark.parametrize("content", ["text", "empty"])
def test_what_is_no_checkpoint_is_refused_with_its_reason(content: str, tmp_path: Path):
    folder = copied("distilbert", tmp_path)
    (folder / "tf_model.h5").unlink()
    if content == "text":
        (folder / "tf_model.h5").write_text("hello")
    else:
        h5py.File(folder / "tf_model.h5", "w").close()
    with pytest.raises(ModelUnavailable, match=r"tf_model\.h5 cannot be read: "):
        resolve(f"path:{folder}", tmp_path / "models")


def test_weights_of_a_bare_encoder_are_refused_as_a_head_is_never_made_up(tmp_path: Path):
    folder = tmp_path / "source"
    hub_folders.write(folder, "bert", "classify", graph=None).bert.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    described = {**config, "architectures": ["BertForQuestionAnswering"]}
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(ModelUnavailable, match="it lacks qa_outputs"):
        resolve(f"path:{folder}", tmp_path / "models")


def test_a_graph_is_made_once_and_anew_when_the_weights_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "source"
    hub_folders.write(folder, "distilbert", "answer", graph=None)
    first = resolve(f"path:{folder}", tmp_path / "models")
    writes: list[Path] = []
    write = export.write

    def counted(source: Path, weights: str, target: Path) -> None:
        writes.append(source)
        write(source, weights, target)

    monkeypatch.setattr(export, "write", counted)
    again = resolve(f"path:{folder}", tmp_path / "models")
    assert (again, writes) == (first, [])
    hub_folders.write(folder, "distilbert", "answer", graph=None, num_labels=2, n_layers=1)
    changed = resolve(f"path:{folder}", tmp_path / "models")
    assert changed.path != first.path
    assert writes == [folder]


def test_a_repository_with_a_graph_is_served_as_it_is(tmp_path: Path):
    folder = tmp_path / "source"
    hub_folders.write(folder, "bert", "answer").save_pretrained(folder)
    assert resolve(f"path:{folder}", tmp_path / "models").path == folder


def test_a_repository_of_another_kind_is_left_alone(tmp_path: Path):
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "model.safetensors").touch()
    assert resolve(f"path:{tmp_path}", tmp_path / "models").path == tmp_path


def test_a_prepared_model_needs_neither_the_hubs_client_nor_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hub_folders.into_cache(tmp_path, "someone/tiny", TENSORFLOW / "distilbert")
    vocabulary(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    prepared = resolve("hub:someone/tiny", tmp_path)
    for missing in ("huggingface_hub", "kit.export"):
        monkeypatch.setitem(sys.modules, missing, None)
    assert resolve("hub:someone/tiny", tmp_path) == prepared
    assert prepared.revision == hub_folders.COMMIT[:12]
    with pytest.raises(ModelUnavailable, match=r"someone/else is not in .*\[models\]"):
        resolve("hub:someone/else", tmp_path)


def vocabulary(models_dir: Path) -> None:
    """Give the cached repository the vocab.txt that the fixtures leave out."""
    (snapshot,) = (models_dir / "hub").glob("*/snapshots/*")
    shutil.copyfile(hub_folders.letters(models_dir), snapshot / "vocab.txt")


def test_the_models_step_prepares_what_a_services_setting_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    hub_folders.write(tmp_path / "source", "distilbert", "answer", graph=None)
    monkeypatch.setattr(models, "catalogue", dict)
    monkeypatch.setenv("MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("QA_MODEL", f"path:{tmp_path / 'source'}")
    monkeypatch.setenv("CLASSIFIER_MODEL", "path:/nowhere")
    assert models.main(["--service", "qa"]) == 0
    assert list((tmp_path / "models" / "exported").glob("source-*/onnx/model_quantized.onnx"))
    assert models.main([]) == 1
    assert "/nowhere" in capsys.readouterr().out
