"""An SDXL of the published sizes with random weights: as fast as the real one, and nothing to download.

Speed does not depend on what the weights are; pictures do, so nobody shall look at these.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

VOCABULARY = 49_408
TOKENS = 77
# stabilityai/stable-diffusion-xl-base-1.0, from which Animagine XL 3.0 was tuned.
UNET: Mapping[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE: Mapping[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 1024,
    "scaling_factor": 0.13025,
    "force_upcast": False,  # as madebyollin/sdxl-vae-fp16-fix
}
TEXT_1 = {"width": 768, "layers": 12, "heads": 12, "act": "quick_gelu"}
TEXT_2 = {"width": 1280, "layers": 32, "heads": 20, "act": "gelu"}
# The same architecture where a machine without a GPU only wants to see that everything runs.
SMALL_UNET = {
    **UNET,
    "sample_size": 16,
    "block_out_channels": (32, 64, 64),
    "transformer_layers_per_block": (1, 1, 1),
    "attention_head_dim": (2, 4, 4),
    "cross_attention_dim": 96,
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 64,
}
SMALL_VAE = {
    **VAE,
    "block_out_channels": (8, 8, 8, 8),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "sample_size": 64,
}
SMALL_TEXT_1 = {"width": 32, "layers": 2, "heads": 2, "act": "quick_gelu"}
SMALL_TEXT_2 = {"width": 64, "layers": 2, "heads": 2, "act": "gelu"}


def unet(small: bool = False) -> UNet2DConditionModel:
    """Build the denoiser on torch's default device."""
    return UNet2DConditionModel(**(SMALL_UNET if small else UNET))


def save(folder: Path, *, small: bool, device: str) -> Path:
    """Write the pipeline in float16 in diffusers' layout, 7 GB when not small; return the folder."""
    torch.manual_seed(0)
    with torch.device(device):  # a GPU fills billions of weights in seconds
        parts = {
            "unet": unet(small),
            "vae": AutoencoderKL(**(SMALL_VAE if small else VAE)),
            "text_encoder": CLIPTextModel(_text(SMALL_TEXT_1 if small else TEXT_1)),
            "text_encoder_2": CLIPTextModelWithProjection(_text(SMALL_TEXT_2 if small else TEXT_2)),
        }
    tokenizer = _tokenizer()
    StableDiffusionXLPipeline(
        **{name: part.half() for name, part in parts.items()},
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        scheduler=EulerAncestralDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
        ),
    ).save_pretrained(folder)
    return folder


def _text(sizes: Mapping[str, Any]) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=sizes["width"],
        intermediate_size=4 * sizes["width"],
        projection_dim=sizes["width"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        hidden_act=sizes["act"],
        max_position_embeddings=TOKENS,
        bos_token_id=VOCABULARY - 2,
        eos_token_id=VOCABULARY - 1,
        pad_token_id=VOCABULARY - 1,
    )


def _tokenizer() -> CLIPTokenizer:
    """Build a tokenizer that spells every text in bytes; a prompt is padded to 77 tokens anyway."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    vocabulary |= {"<|startoftext|>": VOCABULARY - 2, "<|endoftext|>": VOCABULARY - 1}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TOKENS)
