"""What a drawing's words become for the UNet."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from services.imagegen.painters.rows import weighted_mean
from services.imagegen.painters.sdxl.windows import Window, windows
from services.imagegen.values import Drawing


@dataclass(frozen=True)
class Conditions:
    """What steers the UNet: tokens (2, n, width), pooled (2, width) and sizes (2, 6).

    The first of each pair is the negative prompt's.
    """

    tokens: torch.Tensor
    pooled: torch.Tensor
    sizes: torch.Tensor

    @property
    def length(self) -> int:
        """Return the number of tokens, by which rows can share a pass."""
        return self.tokens.shape[1]

    @staticmethod
    def batch(each: "list[Conditions]") -> "Conditions":
        """Return those of 2B rows: all negative ones, then all others."""
        parts = ("tokens", "pooled", "sizes")
        pairs = [torch.stack([getattr(one, part) for one in each], dim=1) for part in parts]
        return Conditions(*(pair.flatten(0, 1) for pair in pairs))


@dataclass(frozen=True)
class Encoded:
    """A text: hidden (1, tokens, width) and pooled (1, width)."""

    hidden: torch.Tensor
    pooled: torch.Tensor


class Texts:
    """The text encoders, one window at a time, so that none depends on another's length or place."""

    def __init__(self, pipeline: Any) -> None:
        self._pipe = pipeline
        self._device, self._dtype = pipeline.unet.device, pipeline.unet.dtype
        self._encode = lru_cache(512)(self._encode_text)

    def forget(self) -> None:
        """Encode everything anew: the encoders have changed."""
        self._encode.cache_clear()

    def conditions(self, drawing: Drawing, size: tuple[int, int]) -> Conditions:
        """Return a drawing's conditions at the (width, height) at which it is painted."""
        positive = self._positive(drawing)
        if drawing.negative_prompt or not self._pipe.config.force_zeros_for_empty_prompt:
            negative, positive = self._padded([self._encode(drawing.negative_prompt), positive])
        else:
            zeros = torch.zeros_like
            negative = Encoded(zeros(positive.hidden), zeros(positive.pooled))
        width, height = size
        sizes = self._pipe._get_add_time_ids(
            (height, width),
            (0, 0),
            (height, width),
            dtype=self._dtype,
            text_encoder_projection_dim=self._pipe.text_encoder_2.config.projection_dim,
        )
        return Conditions(
            tokens=torch.cat([negative.hidden, positive.hidden]),
            pooled=torch.cat([negative.pooled, positive.pooled]),
            sizes=sizes.to(self._device).repeat(2, 1),
        )

    def _positive(self, drawing: Drawing) -> Encoded:
        parts = [part for part in drawing.ingredients if part.text is not None]
        if not parts:
            return self._encode(drawing.prompt)
        texts = self._padded([self._encode(part.text or "") for part in parts])
        weights = [part.weight for part in parts]
        return Encoded(
            weighted_mean([(t.hidden, weight) for t, weight in zip(texts, weights, strict=True)]),
            weighted_mean([(t.pooled, weight) for t, weight in zip(texts, weights, strict=True)]),
        )

    def _padded(self, texts: Sequence[Encoded]) -> list[Encoded]:
        """Give all texts the length of the longest, with empty windows at their ends."""
        empty = self._encode("").hidden
        longest = max(text.hidden.shape[1] for text in texts)

        def fill(text: Encoded) -> Encoded:
            missing = (longest - text.hidden.shape[1]) // empty.shape[1]
            return Encoded(torch.cat([text.hidden, *[empty] * missing], dim=1), text.pooled)

        return [fill(text) for text in texts]

    def _encode_text(self, text: str) -> Encoded:
        pipe = self._pipe
        first = _read(pipe.text_encoder, windows(pipe.tokenizer, text))
        second = _read(pipe.text_encoder_2, windows(pipe.tokenizer_2, text))
        hidden = [
            torch.cat([one, two], dim=-1) for (one, _), (two, _) in zip(first, second, strict=True)
        ]
        _, pooled = second[0]  # the second encoder's view of the first window, as elsewhere
        return Encoded(torch.cat(hidden, dim=1), pooled)


def _read(encoder: Any, texts: Sequence[Window]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return each window's hidden states, by its emphasis, and what the encoder says of it all."""
    read = []
    for window in texts:
        ids = torch.tensor([window.ids], device=encoder.device)
        seen = encoder(ids, output_hidden_states=True)
        emphasis = torch.tensor(window.emphasis, device=encoder.device, dtype=encoder.dtype)
        read.append((seen.hidden_states[-2] * emphasis[None, :, None], seen[0]))
    return read
