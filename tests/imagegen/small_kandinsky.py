"""A real Kandinsky 2.2 with random weights, small enough to be built in a test."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DDPMScheduler,
    KandinskyV22CombinedPipeline,
    KandinskyV22Pipeline,
    KandinskyV22PriorPipeline,
    PriorTransformer,
    UnCLIPScheduler,
    UNet2DConditionModel,
    VQModel,
)
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

WORDS = ("a", "red", "blue", "circle", "square", "boat")
TOKENS = 16
WIDTH = 32
DEFAULTS = {"width": 64, "height": 64, "steps": 3, "guidance": 4.0}


def save(folder: Path, *, image_encoder: bool = True) -> Path:
    """Write decoder and prior side by side, as they are published; return the decoder's folder."""
    decoder, prior = folder / "small-decoder", folder / "small-prior"
    KandinskyV22Pipeline(**_decoder_parts()).save_pretrained(decoder)
    KandinskyV22PriorPipeline(**_prior_parts(image_encoder)).save_pretrained(prior)
    (decoder / "defaults.json").write_text(json.dumps(DEFAULTS))
    index = prior / "model_index.json"  # without torchvision it is written under another name
    index.write_text(index.read_text().replace("CLIPImageProcessorPil", "CLIPImageProcessor"))
    return decoder


def save_combined(folder: Path) -> Path:
    """Write the same weights as one pipeline and return its folder."""
    prior = {f"prior_{name}": part for name, part in _prior_parts().items()}
    KandinskyV22CombinedPipeline(**_decoder_parts(), **prior).save_pretrained(folder)
    (folder / "defaults.json").write_text(json.dumps(DEFAULTS))
    return folder


def _decoder_parts() -> dict[str, Any]:
    torch.manual_seed(0)
    return {
        "unet": UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=8,  # noise and its learned variance
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn",
            attention_head_dim=8,
            norm_num_groups=4,
            encoder_hid_dim=WIDTH,
            encoder_hid_dim_type="image_proj",
            cross_attention_dim=16,
            addition_embed_type="image",
            resnet_time_scale_shift="scale_shift",
        ).eval(),
        "scheduler": DDPMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            clip_sample=False,
            thresholding=True,
            variance_type="learned_range",
        ),
        "movq": VQModel(
            block_out_channels=(32,) * 4,  # the spatial norm has 32 groups
            down_block_types=("DownEncoderBlock2D",) * 3 + ("AttnDownEncoderBlock2D",),
            up_block_types=("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 3,
            layers_per_block=1,
            latent_channels=4,
            vq_embed_dim=4,
            num_vq_embeddings=16,
            norm_num_groups=4,
            norm_type="spatial",
        ).eval(),
    }


def _prior_parts(image_encoder: bool = True) -> dict[str, Any]:
    torch.manual_seed(1)
    vocabulary = {f"{word}</w>": number for number, word in enumerate(WORDS)}
    vocabulary |= {"<|startoftext|>": len(WORDS), "<|endoftext|>": len(WORDS) + 1}
    text = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=TOKENS,
        bos_token_id=len(WORDS),
        eos_token_id=len(WORDS) + 1,
        pad_token_id=len(WORDS) + 1,
    )
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    prior = PriorTransformer(
        num_attention_heads=2,
        attention_head_dim=12,
        num_layers=1,
        embedding_dim=WIDTH,
        num_embeddings=TOKENS,
    ).eval()
    prior.clip_std.data.fill_(1.0)  # else every embedding is zero
    return {
        "prior": prior,
        "image_encoder": CLIPVisionModelWithProjection(vision).eval() if image_encoder else None,
        "text_encoder": CLIPTextModelWithProjection(text).eval(),
        "tokenizer": CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TOKENS),
        "scheduler": UnCLIPScheduler(
            variance_type="fixed_small_log", prediction_type="sample", clip_sample_range=5.0
        ),
        "image_processor": CLIPImageProcessor(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
    }
