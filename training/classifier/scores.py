"""Scores of a model, multi-label quality, and the thresholds that maximise it."""

import random

import torch
from torch import Tensor
from torch.nn import functional

from training.exported import Scorer
from training.recipe import buckets, padded

# Fine where rare labels decide, coarse above.
GRID = torch.cat([torch.arange(0.02, 0.2, 0.01), torch.arange(0.2, 0.9, 0.02)])


def score(model: Scorer, rows: list[list[int]]) -> Tensor:
    """Return logits (rows, labels) of token rows."""
    ids = padded(rows)
    return model(ids, torch.zeros_like(ids), ids != 0)


@torch.no_grad()
def predict(model: Scorer, tokens: list[list[int]]) -> Tensor:
    """Return probabilities (rows, labels), computed in batches of similar length."""
    batches = buckets([len(row) for row in tokens], 4096, random.Random(0))
    parts = {
        tuple(batch): score(model, [tokens[row] for row in batch]).sigmoid() for batch in batches
    }
    order = torch.tensor([row for batch in parts for row in batch])
    return torch.cat(list(parts.values()))[order.argsort()]


def label_scores(scores: Tensor, targets: Tensor, thresholds: Tensor) -> tuple[Tensor, ...]:
    """Return precision, recall and F1 per label; 0 where undefined, as scikit-learn does."""
    chosen = (scores >= thresholds).float()
    hits = (chosen * targets).sum(0)
    precision = hits / chosen.sum(0).clamp(min=1)
    recall = hits / targets.sum(0).clamp(min=1)
    return precision, recall, 2 * hits / (chosen.sum(0) + targets.sum(0)).clamp(min=1)


def quality(scores: Tensor, targets: Tensor, thresholds: Tensor) -> dict[str, float]:
    """Return macro precision, recall and F1 and micro F1 of `scores` (rows, labels)."""
    names = ("macro_precision", "macro_recall", "macro_f1")
    means = [value.mean().item() for value in label_scores(scores, targets, thresholds)]
    chosen = (scores >= thresholds).float()
    micro = 2 * (chosen * targets).sum() / (chosen.sum() + targets.sum())
    result = dict(zip(names, means, strict=True)) | {"micro_f1": micro.item()}
    return {name: round(value, 4) for name, value in result.items()}


def best_thresholds(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the threshold of the grid with the best F1 for each label."""
    f1 = torch.stack([label_scores(scores, targets, value)[2] for value in GRID])
    # A running mean over neighbours: a lone peak on few positives does not carry over to new data.
    smooth = functional.avg_pool1d(
        f1.T.unsqueeze(1), 3, stride=1, padding=1, count_include_pad=False
    ).squeeze(1)
    return GRID[smooth.argmax(1)]
