"""Begin a training with the weights of an earlier version of the pipeline."""

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from training.imagegen.networks import Denoiser

EMBEDDING = "token_embedding.weight"


def start_from(model: Denoiser, tokenizer: CLIPTokenizer, earlier: Path) -> int:
    """Copy an earlier pipeline's weights into `model`; returns how many tokens it knew.

    Token embeddings go by the token's spelling, so the vocabulary may differ; everything else must
    have the same sizes.
    """
    unet = UNet2DConditionModel.from_pretrained(earlier / "unet", dtype=torch.float32)
    model.unet.load_state_dict(unet.state_dict())
    numbers = CLIPTokenizer.from_pretrained(earlier / "tokenizer").get_vocab()
    pairs = [(new, numbers[t]) for t, new in tokenizer.get_vocab().items() if t in numbers]
    for name, kind in (
        ("text_encoder", CLIPTextModel),
        ("text_encoder_2", CLIPTextModelWithProjection),
    ):
        encoder = kind.from_pretrained(earlier / name, dtype=torch.float32)
        copy_encoder(getattr(model, name), encoder, pairs)
    return len(pairs)


@torch.no_grad()
def copy_encoder(to: nn.Module, earlier: nn.Module, pairs: list[tuple[int, int]]) -> None:
    """Copy a text encoder, moving each known token's row from its old number to its new one."""
    state = {name: value for name, value in earlier.state_dict().items() if EMBEDDING not in name}
    to.load_state_dict(state, strict=False)
    new, old = (list(numbers) for numbers in zip(*pairs, strict=True))
    name = next(name for name, _ in to.named_parameters() if name.endswith(EMBEDDING))
    to.get_parameter(name)[new] = earlier.get_parameter(name)[old]
