"""Scores of a model, multi-label quality, and the thresholds that maximise it."""

import random

import torch
from torch import Tensor
from torch.nn import functional

from training.exported import Scorer
from training.recipe import buckets, padded

# Even steps in log odds, 0.011 to 0.92.
GRID = torch.sigmoid(torch.arange(-4.5, 2.5, 0.1))
# Neighbours averaged: the best single threshold of a rare label does not carry over to new data. Two-fold
# cross-validation on dev, 16 folds: macro-F1 0.516 without averaging over neighbours, 0.521 with.
NEIGHBOURS = 25


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
    smooth = functional.avg_pool1d(
        f1.T.unsqueeze(1), NEIGHBOURS, 1, NEIGHBOURS // 2, count_include_pad=False
    )
    return GRID[smooth.squeeze(1).argmax(1)]
