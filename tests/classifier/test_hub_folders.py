"""Any sequence classification model of the hub scores here as it does in transformers."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from anyio import to_thread
from tokenizers import Tokenizer
from transformers import pipeline

from kit.models import ModelUnavailable
from services.classifier.app import create_app
from services.classifier.model import Classifier, ZeroShot
from services.classifier.settings import Settings
from tests import hub_folders
from tests.support import serve
from tests.text_models import FakeText, embeds

TEXTS = ["the cat", "the cat sat on the mat and wrote a much longer letter", "1843 ¿qué? да"]
LABELS = {0: "admiration", 1: "amusement", 2: "anger", 3: "neutral"}
KINDS = ["bert", "roberta"]  # roberta has no token types
LAYOUTS = ["onnx/model.onnx", "onnx/model_quantized.onnx", "model.onnx"]


async def scores(folder: Path, texts: Sequence[Any]) -> list[dict[str, float]]:
    settings = Settings(model=f"path:{folder}", precision="fp32")
    app = create_app(settings, zero_shot=ZeroShot(FakeText(embeds, name="embeds")))
    async with serve(app) as client:
        answer = await client.post("/v1/classify", json={"texts": list(texts)})
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


GOEMOTIONS = [f"emotion {number}" for number in range(27)] + ["neutral"]


@pytest.fixture(scope="module")
def emotions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Write what SamLowe/roberta-base-go_emotions-onnx holds into a cache of the hub."""
    folder, models_dir = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("models")
    model = hub_folders.write_emotions(folder, GOEMOTIONS)
    hub_folders.into_cache(models_dir, hub_folders.EMOTIONS, folder)
    tokenizer = hub_folders.fast_tokenizer(folder)
    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    return models_dir, pipe


@asynccontextmanager
async def production(models_dir: Path, **settings: Any) -> AsyncGenerator[httpx2.AsyncClient]:
    """Run the classifier with the production model as a user sets it."""
    chosen = Settings(model=f"hub:{hub_folders.EMOTIONS}", models_dir=models_dir, **settings)
    app = create_app(chosen, zero_shot=ZeroShot(FakeText(embeds, name="embeds")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        async with serve(app) as client:
            yield client


async def test_the_production_model_says_what_transformers_pipeline_says(
    emotions: tuple[Path, Any],
):
    models_dir, pipe = emotions
    async with production(models_dir, precision="fp32") as client:
        for function in ("sigmoid", "softmax", "none", None):
            given = {"function_to_apply": function} if function else {}
            native = await client.post("/v1/classify", json={"texts": TEXTS, **given})
            body = {"inputs": TEXTS, "parameters": given}
            dialect = await client.post("/hf/text-classification", json=body)
            assert [result["scores"] for result in native.json()["results"]] == dialect.json()
            for text, found in zip(TEXTS, dialect.json(), strict=True):
                assert_same(found, pipe(text, top_k=None, **given))


def assert_same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert len(found) == 28
    assert found[0]["label"] == wanted[0]["label"]
    scores = {one["label"]: one["score"] for one in found}
    assert max(abs(scores[one["label"]] - one["score"]) for one in wanted) < 1e-3


async def test_the_production_models_int8_graph_is_the_one_that_is_served(
    emotions: tuple[Path, Any],
):
    models_dir, pipe = emotions
    async with production(models_dir) as client:
        info = (await client.get("/info")).json()
        answer = await client.post("/v1/classify", json={"texts": TEXTS})
    assert info["models"][0] == {
        "model": hub_folders.EMOTIONS,
        "revision": hub_folders.COMMIT[:12],
        "backend": "onnxruntime-int8",
    }
    for text, result in zip(TEXTS, answer.json()["results"], strict=True):
        exact = {one["label"]: one["score"] for one in pipe(text, top_k=None)}
        differences = [abs(one["score"] - exact[one["label"]]) for one in result["scores"]]
        assert 0 < max(differences) < 0.2  # INT8 is close and not the same


async def test_byte_level_pieces_of_any_script_are_read_in_windows_of_512(
    emotions: tuple[Path, Any],
):
    models_dir, _ = emotions
    text = "Спасибо, ¡qué bien! 👍🏽 " * 60
    async with production(models_dir) as client:
        (result,) = (await client.post("/v1/classify", json={"texts": [text]})).json()["results"]
    assert result["windows"] > 1
    assert result["truncated"] is False


def test_a_gpu_that_is_missing_stops_the_start_with_what_to_do(emotions: tuple[Path, Any]):
    models_dir, _ = emotions
    settings = Settings(model=f"path:{next(models_dir.glob('hub/*/snapshots/*'))}", device="cuda")
    with pytest.raises(ModelUnavailable, match="No GPU can be used"):
        Classifier.load(settings)


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
async def test_a_repository_with_weights_alone_scores_as_in_transformers(kind: str, tmp_path: Path):
    folder = tmp_path / "source"
    model = hub_folders.write(folder, kind, "classify", graph=None, id2label=LABELS)
    settings = Settings(model=f"path:{folder}", precision="fp32", models_dir=tmp_path / "models")
    classifier = await to_thread.run_sync(Classifier.load, settings)
    rows = [classifier.combine(classifier.read(group)) for group in classifier.windows(TEXTS)]
    found = torch.from_numpy(np.stack(rows))
    assert (found - logits(model, folder, TEXTS).softmax(dim=1)).abs().max() < 1e-3


async def test_a_pair_is_read_as_transformers_reads_one(tmp_path: Path):
    model = hub_folders.write(tmp_path, "bert", "classify", id2label=LABELS)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    pair = tokenizer.encode(TEXTS[0], TEXTS[1])
    with torch.no_grad():
        expected = model(torch.tensor([pair.ids]), token_type_ids=torch.tensor([pair.type_ids]))
    (found,) = await scores(tmp_path, [(TEXTS[0], TEXTS[1])])
    assert_equal([found], expected.logits.softmax(dim=1))
