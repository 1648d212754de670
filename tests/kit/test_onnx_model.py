"""A text's answer is its own, whoever shares the batch."""

from pathlib import Path

import numpy as np
import pytest
from onnxruntime.quantization import quantize_dynamic

from kit.models import LocalModel
from kit.onnx_model import OnnxText
from tests import hub_folders

TEXTS = ["the cat", "the mat and the cat sat on a letter " * 4, "wrote", "in 1843 the cat wrote"]


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_company_changes_nothing_where_a_hub_graph_scales_the_whole_batch(
    kind: str, tmp_path: Path
):
    hub_folders.write(tmp_path, kind, "classify")
    quantize_dynamic(tmp_path / "onnx/model.onnx", tmp_path / "onnx/model_quantized.onnx")
    model = OnnxText(LocalModel("test", "1", tmp_path), precision="int8")
    encodings = model.tokenizer.encode_batch(TEXTS)
    alone = [model.run([encoding])["logits"][0] for encoding in encodings]
    np.testing.assert_array_equal(model.run(encodings)["logits"], alone)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_answers_come_in_the_order_of_the_texts(kind: str, tmp_path: Path):
    hub_folders.write(tmp_path, kind, "answer")
    model = OnnxText(LocalModel("test", "1", tmp_path), precision="fp32")
    encodings = model.tokenizer.encode_batch(TEXTS)
    starts = model.run(encodings)["start_logits"]
    assert starts.shape == (len(TEXTS), max(map(len, encodings)))
    for row, encoding in zip(starts, encodings, strict=True):
        alone = model.run([encoding])["start_logits"][0]
        np.testing.assert_allclose(row[: len(encoding)], alone, atol=1e-5)
