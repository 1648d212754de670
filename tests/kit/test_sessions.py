"""Which graph runs on which device, and that a GPU which is not there is said, not guessed."""

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from kit.models import LocalModel, ModelUnavailable, resolve
from kit.onnx_model import OnnxText, Precision
from kit.sessions import CUDA
from tests import hub_folders

TEXTS = ["the cat sat on the mat", "the cat"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    """Write a model with a graph in fp32 and one in INT8."""
    folder = tmp_path_factory.mktemp("both")
    hub_folders.write(folder, "roberta", "classify")
    (folder / hub_folders.SMALL_GRAPH).write_bytes((folder / hub_folders.GRAPH).read_bytes())
    return LocalModel("both", "1", folder)


@pytest.mark.parametrize(
    ("precision", "backend"),
    [
        ("auto", "onnxruntime-int8"),
        ("int8", "onnxruntime-int8"),
        ("fp32", "onnxruntime-fp32"),
        ("fp16", "onnxruntime-fp16"),
    ],
)
def test_the_backend_names_what_is_computed_in(
    both: LocalModel, precision: Precision, backend: str
):
    assert OnnxText(both, precision=precision, device="auto").backend == backend


def test_half_precision_says_nearly_the_same_and_answers_in_fp32(both: LocalModel):
    full, half = (OnnxText(both, precision=precision) for precision in ("fp32", "fp16"))
    wanted = full.run(full.tokenizer.encode_batch(TEXTS))["logits"]
    found = half.run(half.tokenizer.encode_batch(TEXTS))["logits"]
    assert found.dtype == np.float32
    assert 0 < np.abs(found - wanted).max() < 0.05


def test_a_gpu_that_is_not_there_is_refused_with_what_to_do(both: LocalModel):
    with pytest.raises(ModelUnavailable, match=r"No GPU can be used: .*onnxruntime-gpu"):
        OnnxText(both, device="cuda")


def test_a_gpu_that_cannot_be_used_is_refused_or_left_alone(
    both: LocalModel, monkeypatch: pytest.MonkeyPatch
):
    # As on a machine that has onnxruntime-gpu and no working driver.
    providers = [CUDA, "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert OnnxText(both, precision="auto", device="auto").backend == "onnxruntime-int8"
        with pytest.raises(ModelUnavailable, match="No GPU can be used"):
            OnnxText(both, device="cuda")


def test_the_only_graph_serves_whatever_is_preferred(tmp_path: Path):
    hub_folders.write(tmp_path, "bert", "classify", hub_folders.SMALL_GRAPH)
    model = LocalModel("small", "1", tmp_path)
    assert OnnxText(model, precision="fp32").backend == "onnxruntime-int8"
    assert OnnxText(model, precision="fp16").backend == "onnxruntime-int8"


def test_a_graph_that_was_halved_before_is_taken(tmp_path: Path):
    hub_folders.write(tmp_path, "bert", "classify", "onnx/model_fp16.onnx")
    assert OnnxText(LocalModel("half", "1", tmp_path), precision="fp16").backend.endswith("fp16")


@pytest.mark.weights
@pytest.mark.parametrize("name", ["minilm", "emotions", "qa"])
def test_our_own_graphs_can_be_halved(name: str):
    model = resolve(f"embedded:{name}", Path(".models"))
    full, half = (OnnxText(model, precision=precision) for precision in ("fp32", "fp16"))
    encodings = [full.tokenizer.encode(text) for text in TEXTS]
    for output, wanted in full.run(encodings).items():
        found = half.run(encodings)[output]
        for row, encoding in enumerate(encodings):
            size = len(encoding) if "logits" in output and name == "qa" else None
            assert np.abs(found[row][:size] - wanted[row][:size]).max() < 0.05


@pytest.mark.skipif(CUDA not in onnxruntime.get_available_providers(), reason="needs a GPU")
def test_a_gpu_says_in_half_precision_nearly_what_a_cpu_says(both: LocalModel):
    cpu = OnnxText(both, precision="fp32")
    gpu = OnnxText(both, precision="auto", device="cuda")
    encodings = cpu.tokenizer.encode_batch(TEXTS)
    assert gpu.backend == "onnxruntime-cuda-fp16"
    difference = gpu.run(encodings)["logits"] - cpu.run(encodings)["logits"]
    assert np.abs(difference).max() < 0.05
