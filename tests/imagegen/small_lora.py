"""A LoRA file for the small SDXL, with the keys that Kohya's trainer writes."""

from pathlib import Path
from typing import Any

import safetensors.torch
import torch

RANK = 2
UNET = ("to_q", "to_k", "to_v", "to_out.0")
TEXT = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")


def save(pipeline: Any, file: Path, seed: int = 0) -> Path:
    """Write random changes to the attention of all three models."""
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, torch.Tensor] = {}
    for prefix, part, ends in (
        ("lora_unet", pipeline.unet, UNET),
        ("lora_te1_text_model", pipeline.text_encoder, TEXT),
        ("lora_te2_text_model", pipeline.text_encoder_2, TEXT),
    ):
        for name, layer in part.named_modules():
            if name.endswith(ends):
                key = f"{prefix}_{name.removeprefix('text_model.').replace('.', '_')}"
                down = torch.randn(RANK, layer.in_features, generator=generator)
                up = torch.randn(layer.out_features, RANK, generator=generator)
                weights |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
                weights[f"{key}.alpha"] = torch.tensor(1.0)
    safetensors.torch.save_file(weights, file)
    return file
