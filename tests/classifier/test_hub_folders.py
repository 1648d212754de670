"""Any sequence classification model of the hub scores here as it does in transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from services.classifier.app import create_app
from services.classifier.model import ZeroShot
from services.classifier.settings import Settings
from tests import hub_folders
from tests.support import serve
from tests.text_models import FakeText, embeds

TEXTS = ["the cat", "the cat sat on the mat and wrote a much longer letter", "1843 ¿qué? да"]
LABELS = {0: "admiration", 1: "amusement", 2: "anger", 3: "neutral"}
KINDS = ["bert", "roberta"]  # roberta has no token types
LAYOUTS = ["onnx/model.onnx", "onnx/model_quantized.onnx", "model.onnx"]


async def scores(folder: Path, texts: list[str]) -> list[dict[str, float]]:
    settings = Settings(model=f"path:{folder}", precision="fp32")
    app = create_app(settings, zero_shot=ZeroShot(FakeText(embeds, name="embeds")))
    async with serve(app) as client:
        answer = await client.post("/v1/classify", json={"texts": texts})
    assert answer.status_code == 200, answer.text
    return [
        {score["label"]: score["score"] for score in result["scores"]}
        for result in answer.json()["results"]
    ]


@torch.no_grad()
def logits(model: Any, folder: Path, texts: list[str]) -> torch.Tensor:
    """Return transformers' logits, text by text and so without padding."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = [torch.tensor([tokenizer.encode(text).ids]) for text in texts]
    return torch.cat([model(row).logits for row in rows])


def assert_equal(found: list[dict[str, float]], expected: torch.Tensor) -> None:
    rows = [[row[label] for label in LABELS.values()] for row in found]
    assert (torch.tensor(rows) - expected).abs().max() < 1e-3


@pytest.mark.parametrize("kind", KINDS)
async def test_multi_label_scores_are_transformers_sigmoids(kind: str, tmp_path: Path):
    model = hub_folders.write(
        tmp_path, kind, "classify", id2label=LABELS, problem_type="multi_label_classification"
    )
    found = await scores(tmp_path, TEXTS)
    assert_equal(found, logits(model, tmp_path, TEXTS).sigmoid())


@pytest.mark.parametrize("kind", KINDS)
async def test_single_label_scores_are_transformers_softmax(kind: str, tmp_path: Path):
    model = hub_folders.write(tmp_path, kind, "classify", id2label=LABELS)
    found = await scores(tmp_path, TEXTS)
    assert_equal(found, logits(model, tmp_path, TEXTS).softmax(dim=1))


@pytest.mark.parametrize("graph", LAYOUTS)
async def test_the_graph_is_found_in_each_layout_of_the_hub(graph: str, tmp_path: Path):
    hub_folders.write(tmp_path, "roberta", "classify", graph, id2label=LABELS)
    (found,) = await scores(tmp_path, ["the cat"])
    assert set(found) == set(LABELS.values())


async def test_a_text_that_fills_several_windows_is_read_by_a_real_graph(tmp_path: Path):
    hub_folders.write(tmp_path, "roberta", "classify", id2label=LABELS)
    (found,) = await scores(tmp_path, ["the cat sat on the mat " * 100])
    assert sum(found.values()) == pytest.approx(1, abs=1e-3)
