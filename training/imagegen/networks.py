"""Build the untrained parts of the pipeline; every size of the model is in this file."""

from dataclasses import dataclass, replace

import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from training.imagegen.shapes import SIDE

MAX_TOKENS = 32
TIME_ID_CHANNELS = 16  # per number in SDXL's six size and crop conditions
TIME_IDS = (SIDE, SIDE, 0, 0, SIDE, SIDE)
TRAINING_STEPS = 1000  # noise levels, not optimiser steps


@dataclass(frozen=True)
class Sizes:
    """Channel widths: of the autoencoder, of the UNet, and of the two text encoders."""

    vae: tuple[int, int, int] = (16, 32, 48)
    unet: tuple[int, int, int] = (32, 64, 96)
    text: tuple[int, int] = (64, 96)
    text_layers: tuple[int, int] = (2, 3)


SHIPPED = Sizes()
TINY = replace(SHIPPED, vae=(4, 4, 8), unet=(32, 32, 32), text=(32, 32), text_layers=(2, 2))


def build_vae(sizes: Sizes = SHIPPED) -> AutoencoderKL:
    """Build a 64x64 autoencoder with a 4x16x16 latent.

    One norm group: with one channel per group the absolute colour would be normalised away.
    """
    vae = AutoencoderKL(
        block_out_channels=sizes.vae,
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=1,
        mid_block_add_attention=False,
        sample_size=SIDE,
        force_upcast=False,
    )
    start_near_identity(vae)
    return vae


@torch.no_grad()
def start_near_identity(vae: AutoencoderKL) -> None:
    """Let the residual branches start small and the resampling as average and nearest.

    A thin autoencoder otherwise spends most of its training on learning to copy.
    """
    for module in vae.modules():
        if isinstance(module, ResnetBlock2D):
            module.conv2.weight.mul_(0.1)
            if module.conv_shortcut is not None:
                module.conv_shortcut.weight.mul_(0.3)
                nn.init.dirac_(module.conv_shortcut.weight)
    for block in vae.encoder.down_blocks:
        for sampler in block.downsamplers or []:
            sampler.conv.weight.zero_()
            for channel in range(sampler.conv.weight.shape[0]):
                sampler.conv.weight[channel, channel, :2, :2] = 0.25
    for block in vae.decoder.up_blocks:
        for sampler in block.upsamplers or []:
            nn.init.dirac_(sampler.conv.weight)


def build_unet(sizes: Sizes = SHIPPED) -> UNet2DConditionModel:
    """Build the SDXL-shaped denoiser of 4x16x16 latents."""
    unet = UNet2DConditionModel(
        sample_size=SIDE // 4,
        in_channels=4,
        out_channels=4,
        block_out_channels=sizes.unet,
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        layers_per_block=1,
        transformer_layers_per_block=1,
        # diffusers reads this as the number of heads; each is 32 wide.
        attention_head_dim=[width // 32 for width in sizes.unet],
        norm_num_groups=4,
        cross_attention_dim=sum(sizes.text),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_ID_CHANNELS,
        projection_class_embeddings_input_dim=6 * TIME_ID_CHANNELS + sizes.text[1],
    )
    # The fused CPU kernel has a slow bf16 backward pass; plain matrix products train faster.
    unet.set_attn_processor(AttnProcessor())
    return unet


def build_text_encoders(
    vocabulary: int, end_token: int, sizes: Sizes = SHIPPED
) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Build SDXL's two text encoders; the second also gives the pooled embedding."""
    configs = [
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=4 * width,
            projection_dim=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            max_position_embeddings=MAX_TOKENS,
            hidden_act="gelu",
            bos_token_id=end_token - 1,
            eos_token_id=end_token,
            pad_token_id=end_token,
            attn_implementation="eager",
        )
        for width, layers in zip(sizes.text, sizes.text_layers, strict=True)
    ]
    return CLIPTextModel(configs[0]), CLIPTextModelWithProjection(configs[1])


def build_scheduler() -> EulerAncestralDiscreteScheduler:
    """Build the shipped sampler; `clip_sample` is for DDIM, which clips latents by default."""
    scheduler = EulerAncestralDiscreteScheduler(
        num_train_timesteps=TRAINING_STEPS,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    scheduler.register_to_config(clip_sample=False)
    return scheduler


class Denoiser(nn.Module):
    """The trained parts of the pipeline under one name."""

    def __init__(self, tokenizer: CLIPTokenizer, sizes: Sizes = SHIPPED) -> None:
        """Build fresh weights for a tokenizer."""
        super().__init__()
        self.unet = build_unet(sizes)
        self.text_encoder, self.text_encoder_2 = build_text_encoders(
            len(tokenizer), tokenizer.eos_token_id, sizes
        )

    def forward(self, noisy: Tensor, steps: Tensor, tokens: Tensor, kept: Tensor) -> Tensor:
        """Predict v from latents (n, 4, 16, 16), noise levels (n), tokens (n, 32) and mask (n)."""
        first = self.text_encoder(tokens, output_hidden_states=True)
        second = self.text_encoder_2(tokens, output_hidden_states=True)
        context = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        sizes = torch.tensor([TIME_IDS]).expand(len(noisy), -1)
        added = {"text_embeds": second.text_embeds * kept[:, None], "time_ids": sizes}
        context = context * kept[:, None, None]
        return self.unet(noisy, steps, context, added_cond_kwargs=added).sample  # type: ignore[no-any-return]
