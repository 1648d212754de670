"""A small network beside the linear model: it sees which features stand together, the linear model each alone.

One hidden layer over the same features, fitted with features missing at random and dropout, so that neither hangs on one word.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor, nn

HIDDEN = 32
SEEDS = (0, 1)  # so many networks, whose scores are averaged
EPOCHS = 6
BATCH = 1024
RATE = 5e-3
MISSING = 0.35  # share of a message's features that each look at it lacks
DROPOUT = 0.4
SMOOTHING = 0.05  # of the labels: public sets and templates hold a few wrong ones

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Layers:
    """A fitted network: scores are relu(x @ hidden + hidden_bias) @ out + out_bias."""

    hidden: Array  # (features + cues, HIDDEN)
    hidden_bias: Array
    out: Array  # (HIDDEN, intents)
    out_bias: Array

    def scores(self, x: csr_matrix) -> Array:
        """Return (rows, intents)."""
        found: Array = np.maximum(x @ self.hidden + self.hidden_bias, 0) @ self.out + self.out_bias
        return found


class _Network(nn.Module):
    def __init__(self, features: int, intents: int) -> None:
        super().__init__()
        self.hidden = nn.EmbeddingBag(features, HIDDEN, mode="sum")
        nn.init.normal_(self.hidden.weight, 0, 0.05)
        self.bias = nn.Parameter(torch.zeros(HIDDEN))
        self.dropout = nn.Dropout(DROPOUT)
        self.out = nn.Linear(HIDDEN, intents)

    def forward(self, columns: Tensor, starts: Tensor, values: Tensor) -> Tensor:
        summed = self.hidden(columns, starts, per_sample_weights=values)
        scores: Tensor = self.out(self.dropout(torch.relu(summed + self.bias)))
        return scores


def fit_layers(x: csr_matrix, labels: NDArray[np.int64], weights: Array, intents: int) -> Layers:
    """Fit the networks on the rows of x and lay them side by side; the same for the same inputs."""
    torch.set_num_threads(1)
    fitted = [_fit(x, labels, weights, intents, seed) for seed in SEEDS]
    return Layers(
        np.concatenate([layers.hidden for layers in fitted], axis=1),
        np.concatenate([layers.hidden_bias for layers in fitted]),
        np.concatenate([layers.out for layers in fitted]) / len(SEEDS),
        np.sum([layers.out_bias for layers in fitted], axis=0) / len(SEEDS),
    )


def _fit(
    x: csr_matrix, labels: NDArray[np.int64], weights: Array, intents: int, seed: int
) -> Layers:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = _Network(x.shape[1], intents)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    right, share = torch.from_numpy(labels), torch.from_numpy(weights.astype(np.float32))
    for epoch in range(EPOCHS):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - epoch / (EPOCHS + 0.5))
        order = rng.permutation(x.shape[0])
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            losses = nn.functional.cross_entropy(
                network(*_batch(x[rows], rng)),
                right[rows],
                reduction="none",
                label_smoothing=SMOOTHING,
            )
            optimiser.zero_grad()
            (losses * share[rows]).mean().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    parts = (network.hidden.weight, network.bias, network.out.weight.T, network.out.bias)
    return Layers(*(part.detach().numpy().astype(np.float64) for part in parts))


def _batch(rows: csr_matrix, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    values = rows.data * (rng.random(len(rows.data)) >= MISSING)
    return (
        torch.from_numpy(rows.indices.astype(np.int64)),
        torch.from_numpy(rows.indptr[:-1].astype(np.int64)),
        torch.from_numpy(values.astype(np.float32)),
    )
