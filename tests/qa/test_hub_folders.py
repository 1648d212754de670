"""Any question answering model of the hub finds here what its logits say in transformers."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from kit import export
from services.qa.app import create_app
from services.qa.model import Reader
from services.qa.settings import Settings
from tests import hub_folders
from tests.support import serve

QUESTION, CONTEXT = "who wrote it", "the cat sat on the mat. the dog wrote a letter in 1843."


@torch.no_grad()
def best_odds(model: Any, ids: list[int], types: list[int] | None, first: int) -> float:
    """Return the log odds of the best span against "no answer", from transformers' own logits."""
    extra = {} if types is None else {"token_type_ids": torch.tensor([types])}
    output = model(input_ids=torch.tensor([ids]), **extra)
    start, end = output.start_logits[0], output.end_logits[0]
    last = len(ids) - 1  # the closing special token is no part of the context
    spans = [start[i] + end[j] for i in range(first, last) for j in range(i, last)]
    return float(max(spans) - start[0] - end[0])


@pytest.mark.parametrize("graph", [hub_folders.GRAPH, None], ids=["graph", "weights"])
@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_the_best_span_is_that_of_transformers_logits(kind: str, graph: str | None, tmp_path: Path):
    model = hub_folders.write(tmp_path / "source", kind, "answer", graph)
    reader = load(f"path:{tmp_path / 'source'}", tmp_path)
    (window,) = reader.windows(QUESTION, CONTEXT)
    (found,) = reader.read([window])
    tokens = window.encoding
    types = tokens.type_ids if kind == "bert" else None
    first = tokens.sequence_ids.index(1)
    expected = best_odds(model, tokens.ids, types, first)
    assert found.best[0].log_odds == pytest.approx(expected, abs=1e-3)


def load(model: str, folder: Path) -> Reader:
    return Reader.load(Settings(model=model, precision="fp32", models_dir=folder / "models"))


def test_padding_beside_a_longer_window_changes_nothing(tmp_path: Path):
    hub_folders.write(tmp_path / "source", "roberta", "answer")
    reader = load(f"path:{tmp_path / 'source'}", tmp_path)
    short, long = (reader.windows(QUESTION, text)[0] for text in (CONTEXT[:20], CONTEXT))
    (alone,) = reader.read([short])
    beside, _ = reader.read([short, long])
    assert beside.log_odds == pytest.approx(alone.log_odds, abs=1e-3)
    assert [(span.start, span.end) for span in beside.best] == [
        (span.start, span.end) for span in alone.best
    ]


PRODUCTION = "AndrewChar/model-QA-5-epoch-RU"
TENSORFLOW = Path(__file__).parent / "tensorflow" / "distilbert"


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write what the production model's repository holds, a TensorFlow checkpoint, into a hub's cache."""
    files, models_dir = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("models")
    for name in ("config.json", "tf_model.h5"):
        shutil.copyfile(TENSORFLOW / name, files / name)
    hub_folders.letters(files)
    hub_folders.into_cache(models_dir, PRODUCTION, files)
    return models_dir


async def test_the_production_model_answers_once_its_name_is_set(
    production: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("QA_MODEL", f"hub:{PRODUCTION}")
    monkeypatch.setenv("MODELS_DIR", str(production))
    context = "the cat wrote it, in 1843." * 9
    body = {"question": "who?", "context": context, "top_k": 3, "allow_no_answer": False}
    async with serve(create_app()) as client:
        info = (await client.get("/info")).json()["models"]
        said = (await client.post("/v1/answer", json=body)).json()
    assert info == [
        {
            "model": PRODUCTION,
            "revision": hub_folders.COMMIT[:12],
            "backend": "onnxruntime-int8",
        }
    ]
    assert said["windows"] > 3
    assert said["calibrated_for"] is None
    for found in said["answers"]:
        assert context[found["start"] : found["end"]] == found["text"] != ""
        assert found["score"] == found["share"]


def test_the_production_models_best_span_is_that_of_its_own_logits(
    production: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    settings = Settings(model=f"hub:{PRODUCTION}", precision="fp32", models_dir=production)
    reader = Reader.load(settings)
    (window,) = reader.windows("who?", "the cat, in 1843.")
    (found,) = reader.read([window])
    tokens = window.encoding
    model = export.load(TENSORFLOW, "tf_model.h5")
    expected = best_odds(model, tokens.ids, None, tokens.sequence_ids.index(1))
    assert found.best[0].log_odds == pytest.approx(expected, abs=1e-3)
