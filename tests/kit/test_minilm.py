"""The graphs that we write must say what transformers' BertModel says on the same weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies
from safetensors.numpy import save_file
from transformers import BertModel

from kit import minilm, models
from kit.models import LocalModel
from kit.onnx_model import OnnxText, Precision

pytestmark = pytest.mark.weights

WORDS = ["fine", "¡gracias!", "awful", "???", "supercalifragilistic", "the", "на", "42", "love"]
TEXTS = ["Hello world", "A longer sentence, so that padding matters.", "¿Qué tal?", "fox " * 200]
RANK = 4


@pytest.fixture(scope="module")
def base() -> Path:
    return models._package_folder(models.catalogue()["minilm"])


@pytest.fixture(scope="module")
def reference(base: Path) -> Any:
    return bert_of(base)


def bert_of(base: Path) -> Any:
    bert: Any = BertModel.from_pretrained(base, attn_implementation="eager")
    return bert.eval()


def hidden(bert: Any, model: OnnxText) -> tuple[torch.Tensor, torch.Tensor]:
    model.tokenizer.enable_padding()
    encodings = model.tokenizer.encode_batch(TEXTS)
    model.tokenizer.no_padding()
    ids = torch.tensor([encoding.ids for encoding in encodings])
    mask = torch.tensor([encoding.attention_mask for encoding in encodings])
    with torch.no_grad():
        return bert(input_ids=ids, attention_mask=mask).last_hidden_state, mask[..., None]


def run(model: OnnxText) -> dict[str, Any]:
    return model.run(model.tokenizer.encode_batch(TEXTS))


def built(base: Path, adapter: Path | None, folder: Path, precision: Precision) -> OnnxText:
    minilm.build(base, adapter, folder)
    return OnnxText(LocalModel("test", "1", folder), precision=precision)


def test_sentence_embeddings_equal_mean_pooled_bert(base: Path, reference: Any, tmp_path: Path):
    model = built(base, None, tmp_path / "m", "fp32")
    states, mask = hidden(reference, model)
    mean = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
    np.testing.assert_allclose(run(model)["sentence_embedding"], mean.numpy(), atol=1e-5)


@pytest.fixture(scope="module")
def int8(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, OnnxText]:
    """The INT8 graphs that the services run, by name."""
    folder = tmp_path_factory.mktemp("int8")
    adapters = {
        "emotions": models.SOURCES / "emotions",
        "qa": models.SOURCES / "qa",
        "minilm": None,
    }
    return {name: built(base, adapter, folder / name, "int8") for name, adapter in adapters.items()}


@pytest.mark.parametrize("name", ["emotions", "qa", "minilm"])
@settings(max_examples=6, deadline=None)
@given(data=strategies.data())
def test_company_and_padding_change_no_bit_of_an_answer(
    int8: dict[str, OnnxText], name: str, data: strategies.DataObject
):
    model = int8[name]
    words = strategies.lists(strategies.sampled_from(WORDS), min_size=1, max_size=60)
    texts = [" ".join(text) for text in data.draw(strategies.lists(words, min_size=1, max_size=8))]
    encodings = model.tokenizer.encode_batch(texts)
    together, padded = model.run(encodings), model._run_padded(encodings)
    for row, encoding in enumerate(encodings):
        for at, (output, alone) in enumerate(model.run([encoding]).items()):
            own = ... if name != "qa" else slice(len(encoding))
            np.testing.assert_array_equal(together[output][row][own], alone[0][own])
            np.testing.assert_array_equal(padded[at][row][own], alone[0][own])


def test_int8_embeddings_stay_close(base: Path, reference: Any, tmp_path: Path):
    model = built(base, None, tmp_path / "m", "int8")
    states, mask = hidden(reference, model)
    mean = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1)
    cosine = (run(model)["sentence_embedding"] * mean.numpy()).sum(1)
    assert cosine.min() > 0.99


def adapter_folder(folder: Path, head: str, outputs: int) -> tuple[Path, dict[str, Any]]:
    """Write a random adapter on one layer and a random head."""
    random = np.random.default_rng(0)
    name = "encoder.layer.2.attention.self.query"
    tensors = {
        f"{name}.lora_A": random.normal(0, 0.1, (RANK, 384)).astype(np.float32),
        f"{name}.lora_B": random.normal(0, 0.1, (384, RANK)).astype(np.float32),
        "head.weight": random.normal(0, 0.1, (outputs, 384)).astype(np.float32),
        "head.bias": random.normal(0, 0.1, outputs).astype(np.float32),
    }
    folder.mkdir()
    save_file(tensors, folder / "adapter.safetensors")
    described = {"rank": RANK, "alpha": 8, "head": head, "pooling": "cls"}
    (folder / "adapter.json").write_text(json.dumps(described))
    return folder, tensors


def with_adapter(base: Path, tensors: dict[str, Any]) -> Any:
    bert = bert_of(base)
    query = bert.get_submodule("encoder.layer.2.attention.self.query")
    a, b = (tensors[f"encoder.layer.2.attention.self.query.lora_{x}"] for x in "AB")
    with torch.no_grad():
        query.weight += torch.tensor(8 / RANK * b @ a)
    return bert


def test_a_merged_adapter_and_a_class_head_equal_torch(base: Path, tmp_path: Path):
    folder, tensors = adapter_folder(tmp_path / "a", "classify", 5)
    model = built(base, folder, tmp_path / "m", "fp32")
    states, _ = hidden(with_adapter(base, tensors), model)
    expected = states[:, 0].numpy() @ tensors["head.weight"].T + tensors["head.bias"]
    np.testing.assert_allclose(run(model)["logits"], expected, atol=1e-4)


def test_a_span_head_gives_a_start_and_an_end_for_each_token(base: Path, tmp_path: Path):
    folder, tensors = adapter_folder(tmp_path / "a", "span", 2)
    model = built(base, folder, tmp_path / "m", "fp32")
    states, mask = hidden(with_adapter(base, tensors), model)
    expected = states.numpy() @ tensors["head.weight"].T + tensors["head.bias"]
    kept = mask.numpy()[..., 0].astype(bool)
    outputs = run(model)
    for side, column in (("start_logits", 0), ("end_logits", 1)):
        np.testing.assert_allclose(outputs[side][kept], expected[..., column][kept], atol=1e-4)
