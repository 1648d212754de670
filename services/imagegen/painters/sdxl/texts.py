"""What a drawing's words become for the UNet."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from services.imagegen.painters.rows import weighted_mean
from services.imagegen.schemas import Drawing


@dataclass(frozen=True)
class Conditions:
    """What steers the UNet: tokens (2, n, width), pooled (2, width) and sizes (2, 6).

    The first of each pair is the negative prompt's.
    """

    tokens: torch.Tensor
    pooled: torch.Tensor
    sizes: torch.Tensor

    @staticmethod
    def batch(each: "list[Conditions]") -> "Conditions":
        """Return those of 2B rows: all negative ones, then all others."""
        parts = ("tokens", "pooled", "sizes")
        pairs = [torch.stack([getattr(one, part) for one in each], dim=1) for part in parts]
        return Conditions(*(pair.flatten(0, 1) for pair in pairs))


class Texts:
    """The text encoders, one text at a time, so that none depends on another's length or place."""

    def __init__(self, pipeline: Any) -> None:
        self._pipe = pipeline
        self._encode = lru_cache(512)(self._encode_text)

    def conditions(self, drawing: Drawing, size: tuple[int, int]) -> Conditions:
        """Return a drawing's conditions at the (width, height) at which it is painted."""
        negative, positive = self._negative(drawing), self._positive(drawing)
        width, height = size
        unet = self._pipe.unet
        sizes = self._pipe._get_add_time_ids(
            (height, width),
            (0, 0),
            (height, width),
            dtype=unet.dtype,
            text_encoder_projection_dim=self._pipe.text_encoder_2.config.projection_dim,
        )
        return Conditions(
            tokens=torch.cat([negative[0], positive[0]]),
            pooled=torch.cat([negative[1], positive[1]]),
            sizes=sizes.to(unet.device).repeat(2, 1),
        )

    def _positive(self, drawing: Drawing) -> tuple[torch.Tensor, torch.Tensor]:
        if not drawing.ingredients:
            return self._encode(drawing.prompt)
        texts = [(part.text, part.weight) for part in drawing.ingredients if part.text is not None]
        encoded = [(self._encode(text), weight) for text, weight in texts or [("", 1.0)]]
        return (
            weighted_mean([(hidden, weight) for (hidden, _), weight in encoded]),
            weighted_mean([(pooled, weight) for (_, pooled), weight in encoded]),
        )

    def _negative(self, drawing: Drawing) -> tuple[torch.Tensor, torch.Tensor]:
        hidden, pooled = self._encode(drawing.negative_prompt)
        if drawing.negative_prompt or not self._pipe.config.force_zeros_for_empty_prompt:
            return hidden, pooled
        return torch.zeros_like(hidden), torch.zeros_like(pooled)

    def _encode_text(self, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (1, tokens, width) and (1, pooled)."""
        hidden, _, pooled, _ = self._pipe.encode_prompt(text, do_classifier_free_guidance=False)
        return hidden, pooled
