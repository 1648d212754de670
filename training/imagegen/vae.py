"""Train the autoencoder on drawn scenes: python -m training.imagegen.vae --out DIR [--tiny].

Writes DIR/vae (diffusers format, with the measured scaling factor) and DIR/vae.json. With --start MODEL
it begins with the autoencoder of an earlier version instead of fresh weights. With --refine it goes on with the decoder alone, which leaves latents that were already encoded valid.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from training.imagegen.networks import SHIPPED, TINY, build_vae
from training.imagegen.scenes import draw, sample_scene

SEED = 20261121
BATCH = 12
LEARNING_RATE = 2e-3
REFINED_LATENT_NOISE = 0.03  # the decoder also meets what a denoiser leaves unfinished
KL_WEIGHT = 1e-5
EMA = 0.998
CHECKPOINT_EVERY = 250

KIND_WEIGHTS = {"single": 3, "pair": 4, "count": 5, "object": 6, "mixed": 5, "scenery": 1}

Loss = Callable[[AutoencoderKL, Tensor], Tensor]


def pixels(pictures: NDArray[np.uint8]) -> Tensor:
    """Turn RGB bytes (n, 64, 64, 3) into a float tensor (n, 3, 64, 64) from -1 to 1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def sample_pictures(dice: random.Random, count: int) -> Tensor:
    """Draw fresh scenes; counts, objects and mixed pairs are the hard ones for the decoder."""
    kinds = dice.choices(list(KIND_WEIGHTS), weights=list(KIND_WEIGHTS.values()), k=count)
    return pixels(np.stack([draw(sample_scene(dice, kind)) for kind in kinds]))


def edges(pictures: Tensor) -> Tensor:
    """Return the differences between neighbouring pixels, both ways, flattened."""
    across = pictures[..., :, 1:] - pictures[..., :, :-1]
    down = pictures[..., 1:, :] - pictures[..., :-1, :]
    return torch.cat([across.flatten(1), down.flatten(1)], dim=1)


def difference(back: Tensor, pictures: Tensor) -> Tensor:
    """Compare pictures with their round trip, in colour and in edges."""
    colour = functional.mse_loss(back, pictures) + 0.2 * functional.l1_loss(back, pictures)
    return colour + 0.5 * functional.mse_loss(edges(back), edges(pictures))


def whole_loss(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    """Return the round trip's difference plus a small KL term."""
    code = vae.encode(pictures).latent_dist
    spread: Tensor = code.kl().mean()
    return difference(vae.decode(code.sample()).sample, pictures) + KL_WEIGHT * spread


def decoder_loss(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    """Return the difference after decoding slightly noisy latents of a fixed encoder."""
    with torch.no_grad():
        latents = vae.encode(pictures).latent_dist.mode()
    noise = REFINED_LATENT_NOISE * torch.randn_like(latents)
    return difference(vae.decode(latents + noise).sample, pictures)


@torch.no_grad()
def psnr(vae: AutoencoderKL, pictures: Tensor) -> float:
    """Measure the round trip in decibels."""
    back = vae.decode(vae.encode(pictures).latent_dist.mode()).sample.clamp(-1, 1)
    return float(-10 * torch.log10(functional.mse_loss(back, pictures) / 4))


def train(vae: AutoencoderKL, loss_of: Loss, steps: int, out: Path) -> AutoencoderKL:
    """Train with a cosine schedule and return the averaged weights."""
    dice = random.Random(SEED + steps)
    trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=steps + 1, pct_start=0.05
    )
    vae = vae.to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(
        vae,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA),  # type: ignore[no-untyped-call]
    )
    for step in range(1, steps + 1):
        pictures = sample_pictures(dice, BATCH).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(vae, pictures)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()
        average.update_parameters(vae)
        if step % CHECKPOINT_EVERY == 0 or step == steps:
            report(average.module, step, loss.item(), out)
    return average.module


def report(vae: AutoencoderKL, step: int, loss: float, out: Path) -> None:
    """Save a checkpoint and print how good it is."""
    score = psnr(vae, sample_pictures(random.Random(1), 64))
    vae.save_pretrained(out / "vae")
    print(
        f"step {step} loss {loss:.4f} psnr {score:.2f} cpu {time.process_time():.0f}s", flush=True
    )


@torch.no_grad()
def set_scale(vae: AutoencoderKL) -> None:
    """Record the factor that brings latents to unit variance."""
    pictures = sample_pictures(random.Random(2), 128)
    factor = 1 / float(vae.encode(pictures).latent_dist.mode().std())
    vae.register_to_config(scaling_factor=factor)


def main(arguments: list[str] | None = None) -> None:
    """Train, measure and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--refine", action="store_true")
    parser.add_argument("--start", type=Path, help="begin with a pipeline's autoencoder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args(arguments)
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)
    steps = 4 if args.tiny else args.steps
    if args.refine:
        vae = AutoencoderKL.from_pretrained(args.out / "vae")
        vae.requires_grad_(False)
        vae.decoder.requires_grad_(True)
        vae = train(vae, decoder_loss, steps, args.out)
    else:
        vae = build_vae(TINY if args.tiny else SHIPPED)
        if args.start:
            vae = AutoencoderKL.from_pretrained(args.start / "vae").float()
        vae = train(vae, whole_loss, steps, args.out)
        set_scale(vae)
    vae.save_pretrained(args.out / "vae")
    found = {
        "steps": steps,
        "psnr_db": round(psnr(vae, sample_pictures(random.Random(3), 256)), 2),
        "scaling_factor": vae.config.scaling_factor,
        "cpu_seconds": round(time.process_time()),
    }
    name = "vae_decoder.json" if args.refine else "vae.json"
    (args.out / name).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
