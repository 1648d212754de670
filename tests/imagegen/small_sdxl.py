"""A real SDXL pipeline with random weights, small enough to be built in a test."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from kit.models import LocalModel
from services.imagegen.painters import device, sdxl
from services.imagegen.painters.easel import Easel
from services.imagegen.painters.sdxl.model import SdxlRow

WORDS = ("a", "red", "blue", "circle", "square", "boat", ",")
WIDTH = 32
DEFAULTS = {"width": 64, "height": 64, "steps": 3, "guidance": 4.0}


def save(folder: Path, defaults: dict[str, object] | None = None) -> Path:
    """Write the pipeline and its defaults in diffusers' layout and return the folder."""
    torch.manual_seed(0)
    tokenizer = _tokenizer()
    end = tokenizer.eos_token_id
    text = CLIPTextConfig(
        vocab_size=end + 1,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=end - 1,
        eos_token_id=end,
        pad_token_id=end,
    )
    StableDiffusionXLPipeline(
        vae=vae(),
        unet=_unet(),
        text_encoder=CLIPTextModel(text).eval(),
        text_encoder_2=CLIPTextModelWithProjection(text).eval(),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        scheduler=EulerAncestralDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
        ),
    ).save_pretrained(folder)
    (folder / "defaults.json").write_text(json.dumps(DEFAULTS | (defaults or {})))
    return folder


def load(
    folder: Path, batch_pictures: int = 4, *, name: str = "small", **options: Any
) -> Easel[SdxlRow]:
    """Load it as the worker does; `options` are those of `gather`."""
    files = sdxl.gather(LocalModel(name, "1", folder), folder, **options)
    return sdxl.load(files, wanted=device.Wanted("cpu"), threads=1, batch_pictures=batch_pictures)


def _tokenizer() -> CLIPTokenizer:
    """Build a tokenizer that spells the known words letter by letter and joins them to one token."""
    tokens, merges = [f"{word}</w>" for word in WORDS], []
    for word in WORDS:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        joined = pieces[0]
        tokens += pieces
        for piece in pieces[1:]:
            merges.append((joined, piece))
            joined += piece
            tokens.append(joined)
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=16)


def vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=[8, 16, 16],
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        force_upcast=False,
    ).eval()


def _unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        norm_num_groups=4,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        cross_attention_dim=2 * WIDTH,
    ).eval()
