"""Kandinsky's first half: what words and pictures mean, as embeddings of pictures, and their mix.

A picture is looked at; words are imagined by a diffusion of their own, the prior. The loop is
KandinskyV22PriorPipeline's (diffusers 0.42), without its three surprises in blends: every text has
its own noise, which its content and the drawing's seed determine, so the order of texts is of no
consequence; weights are shares; and pictures alone need no diffusion at all.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import torch
from PIL.Image import Image

from kit.errors import Unprocessable
from services.imagegen.values import Drawing, Ingredient

PriorPipeline = Any  # a KandinskyV22PriorPipeline; diffusers publishes no types
STEPS = 25  # this and the guidance are the pipeline's defaults
GUIDANCE = 4.0
TEXTS_KEPT = 512
PICTURES_KEPT = 1024  # 2.5 KB each


@dataclass(frozen=True)
class Phrase:
    """A text to be imagined, what it must be unlike, and the drawing's seed."""

    text: str
    unlike: str
    seed: int

    @property
    def noise(self) -> torch.Generator:
        """Return the phrase's own source of noise, which does not know the other phrases."""
        content = hashlib.sha256(f"{self.seed} {self.text}".encode()).digest()
        return torch.Generator("cpu").manual_seed(int.from_bytes(content[:8]))


class Prior:
    """Turns a drawing into the pair of embeddings that the decoder paints from.

    All texts of a picture are imagined as one batch and nobody else's with them: its size is part
    of the drawing, so the result does not depend on company. Looked at pictures are remembered.
    """

    def __init__(self, pipeline: PriorPipeline) -> None:
        self._pipe = pipeline
        self._encode = lru_cache(TEXTS_KEPT)(self._encode_text)
        self._seen: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    @property
    def sees_pictures(self) -> bool:
        """Tell whether pictures can be mixed in, which takes the image encoder."""
        return self._pipe.image_encoder is not None

    @torch.inference_mode()
    def embeddings(
        self, drawing: Drawing, seed: int, sources: Mapping[str, Image]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what to stay away from and what to paint, (1, width) each.

        Raises Unprocessable for pictures without an image encoder.
        """
        unlike = drawing.negative_prompt
        parts = drawing.ingredients or (Ingredient(weight=1.0, text=drawing.prompt),)
        phrases = {part.text: Phrase(part.text, unlike, seed) for part in parts if part.text}
        avoids_words = bool(unlike) or not self.sees_pictures
        if avoids_words:
            phrases[unlike] = Phrase(unlike, unlike, seed)
        imagined = dict(zip(phrases, self._imagine(list(phrases.values())), strict=True))
        mixed = torch.stack(
            [
                part.weight
                * (imagined[part.text] if part.text else self._look_at(sources[str(part.picture)]))
                for part in parts
            ]
        ).sum(0)
        return imagined[unlike] if avoids_words else self._nothing, mixed

    def _imagine(self, phrases: Sequence[Phrase]) -> Sequence[torch.Tensor]:
        """Return each phrase's embedding, (1, width)."""
        if not phrases:
            return []
        prior, scheduler = self._pipe.prior, self._pipe.scheduler
        texts = [phrase.unlike for phrase in phrases] + [phrase.text for phrase in phrases]
        pooled, hidden, mask = map(torch.cat, zip(*map(self._encode, texts), strict=True))
        noises = [phrase.noise for phrase in phrases]
        scheduler.set_timesteps(STEPS)
        shape = (1, prior.config.embedding_dim)
        start = [torch.randn(shape, generator=noise, dtype=prior.dtype) for noise in noises]
        latents = torch.cat(start).to(prior.device) * scheduler.init_noise_sigma
        for time, following in pairwise([*scheduler.timesteps, None]):
            free, guided = prior(
                torch.cat([latents, latents]),
                timestep=time,
                proj_embedding=pooled,
                encoder_hidden_states=hidden,
                attention_mask=mask,
                return_dict=False,
            )[0].chunk(2)
            latents = scheduler.step(
                free + GUIDANCE * (guided - free),
                timestep=time,
                sample=latents,
                prev_timestep=following,
                generator=noises,
                return_dict=False,
            )[0]
        embeddings: torch.Tensor = prior.post_process_latents(latents)
        return embeddings.chunk(len(phrases))

    def _encode_text(self, text: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return (1, width), (1, tokens, width) and (1, tokens): pooled, hidden states, mask."""
        tokenizer, encoder = self._pipe.tokenizer, self._pipe.text_encoder
        tokens = tokenizer(
            text,
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).to(encoder.device)
        encoded = encoder(tokens.input_ids)
        return encoded.text_embeds, encoded.last_hidden_state, tokens.attention_mask.bool()

    def _look_at(self, picture: Image) -> torch.Tensor:
        """Return a picture's embedding, (1, width), from memory if it was seen before."""
        if not self.sees_pictures:  # the job was queued when another model painted
            raise Unprocessable("The model that paints now blends words only.")
        content = hashlib.sha256(f"{picture.mode} {picture.size} ".encode() + picture.tobytes())
        digest = content.digest()
        if digest not in self._seen:
            pixels = self._pipe.image_processor(picture, return_tensors="pt").pixel_values
            self._seen[digest] = self._see(pixels)
            if len(self._seen) > PICTURES_KEPT:
                self._seen.popitem(last=False)
        self._seen.move_to_end(digest)
        return self._seen[digest]

    @cached_property
    def _nothing(self) -> torch.Tensor:
        """Return the embedding of zeros, which stands for no picture at all."""
        side = self._pipe.image_encoder.config.image_size
        return self._see(torch.zeros(1, 3, side, side))

    def _see(self, pixels: torch.Tensor) -> torch.Tensor:
        encoder = self._pipe.image_encoder
        embedding: torch.Tensor = encoder(pixels.to(encoder.device, encoder.dtype)).image_embeds
        return embedding
