"""Any question answering model of the hub finds here what its logits say in transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch

from services.qa.model import Reader
from services.qa.settings import Settings
from tests import hub_folders

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


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_best_span_is_that_of_transformers_logits(kind: str, tmp_path: Path):
    model = hub_folders.write(tmp_path, kind, "answer")
    reader = Reader.load(Settings(model=f"path:{tmp_path}", precision="fp32"))
    (window,) = reader.windows(QUESTION, CONTEXT)
    (found,) = reader.read([window])
    types = window.type_ids if kind == "bert" else None
    first = window.sequence_ids.index(1)
    expected = best_odds(model, window.ids, types, first)
    assert found.best[0].log_odds == pytest.approx(expected, abs=1e-3)


def test_padding_beside_a_longer_window_changes_nothing(tmp_path: Path):
    hub_folders.write(tmp_path, "roberta", "answer")
    reader = Reader.load(Settings(model=f"path:{tmp_path}", precision="fp32"))
    short, long = (reader.windows(QUESTION, text)[0] for text in (CONTEXT[:20], CONTEXT))
    (alone,) = reader.read([short])
    beside, _ = reader.read([short, long])
    assert beside.log_odds == pytest.approx(alone.log_odds, abs=1e-3)
    assert [(span.start, span.end) for span in beside.best] == [
        (span.start, span.end) for span in alone.best
    ]
