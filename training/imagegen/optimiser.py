"""Muon for matrices and convolutions, AdamW for the rest (Jordan et al. 2024)."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


@torch.no_grad()
def orthogonalised(matrices: Tensor) -> Tensor:
    """Return the nearest semi-orthogonal matrices of a stack (k, m, n), in bfloat16."""
    a, b, c = NEWTON_SCHULZ
    x: Tensor = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, then orthogonalised; matrices of one shape are treated together."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        """Take parameters of two or more dimensions; all but the first are flattened."""
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[tuple(parameter.flatten(1).shape)].append(parameter)
            for shape, parameters in alike.items():
                self.update(parameters, shape, group["lr"], group["momentum"])

    def update(
        self, parameters: list[Tensor], shape: tuple[int, int], lr: float, momentum: float
    ) -> None:
        """Move parameters of one flattened shape (m, n)."""
        wanted = []
        for parameter in parameters:
            assert parameter.grad is not None
            speed = self.state[parameter].setdefault("speed", torch.zeros_like(parameter))
            speed.lerp_(parameter.grad, 1 - momentum)
            wanted.append(parameter.grad.lerp(speed, momentum).flatten(1))
        moves = orthogonalised(torch.stack(wanted)).float()
        scale = max(1.0, shape[0] / shape[1]) ** 0.5
        for parameter, move in zip(parameters, moves, strict=True):
            parameter.add_(move.view_as(parameter), alpha=-lr * scale)


def optimisers_for(
    models: list[nn.Module], muon_lr: float, adam_lr: float
) -> list[torch.optim.Optimizer]:
    """Split the parameters: embeddings, ends, norms and biases go to AdamW."""
    matrices: list[Tensor] = []
    rest: list[Tensor] = []
    for name, parameter in (pair for model in models for pair in model.named_parameters()):
        is_end = any(word in name for word in ("embedding.weight", "conv_in", "conv_out"))
        (rest if is_end or parameter.ndim < 2 else matrices).append(parameter)
    adam = torch.optim.AdamW(rest, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0)
    return [Muon(matrices, lr=muon_lr), adam]
