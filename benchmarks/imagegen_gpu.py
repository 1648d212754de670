"""Seconds per picture of a full-size SDXL on a GPU: `python -m benchmarks.imagegen_gpu`.

Builds SDXL from its published sizes with random weights, loads it with the worker's own code and paints
832x1216 pictures of 28 steps at guidance 7 in batches of 1, 4, 8 and 16. The share of the ceiling compares the
picture's arithmetic, counted on the meta device, with what matrix products of the same type reach on this device
just before. `--dtype`, `--fp8`, `--no-compile` and their like are the worker's settings of these names; left out,
the device decides as it does for a worker. `--small --device cpu` runs the same code in a minute where there is no
GPU. Writes results/imagegen_gpu.json.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import random_sdxl
from benchmarks.setting import RESULTS, record
from kit.models import LocalModel
from services.imagegen.painters import Painter, paint_all, sdxl
from services.imagegen.painters.device import Wanted
from services.imagegen.painters.easel import Easel
from services.imagegen.painters.sdxl.model import Sdxl, SdxlRow
from services.imagegen.values import Drawing

WIDTH, HEIGHT, STEPS, GUIDANCE = 832, 1216, 28, 7.0
ROUNDS = 3
TEXT_TOKENS = 77


def drawings(count: int, steps: int, side: tuple[int, int]) -> list[Drawing]:
    """Return different requests that may share a batch."""
    return [
        Drawing(
            prompt=f"1girl, solo, night, stars, number {n}",
            negative_prompt="lowres, bad anatomy",
            width=side[0],
            height=side[1],
            steps=steps,
            guidance=GUIDANCE,
            seed=n,
            count=1,
        )
        for n in range(count)
    ]


def picture_flops(small: bool, steps: int, side: tuple[int, int]) -> float:
    """Return the UNet's floating point operations for one picture, two forwards a step."""
    with torch.device("meta"):
        unet = random_sdxl.unet(small)
        config = unet.config
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        counter = FlopCounterMode(display=False)
        with counter:
            unet(
                torch.empty(1, 4, side[1] // 8, side[0] // 8),
                torch.empty(1),
                torch.empty(1, TEXT_TOKENS, config.cross_attention_dim),
                added_cond_kwargs={
                    "text_embeds": torch.empty(1, pooled),
                    "time_ids": torch.empty(1, 6),
                },
            )
    return float(counter.get_total_flops()) * 2 * steps


def ceiling(device: str, dtype: torch.dtype) -> float:
    """Return the FLOP/s of large matrix products."""
    size, turns = (8192, 20) if device == "cuda" else (512, 5)
    left = torch.randn(size, size, device=device, dtype=dtype)
    (left @ left).sum().item()
    started = time.perf_counter()
    for _ in range(turns):
        left = (left @ left).clamp(-1, 1)
    left.sum().item()
    return 2 * size**3 * turns / (time.perf_counter() - started)


def seconds_per_picture(painter: Painter, batch: int, steps: int, side: tuple[int, int]) -> float:
    """Return the median over some rounds, after one to warm up."""
    took = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        paint_all(painter, drawings(batch, steps, side))
        took.append((time.perf_counter() - started) / batch)
    return median(took[1:])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "imagegen_gpu.json")
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--small", action="store_true", help="tiny sizes, to try the script out")
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "float32", "float16", "bfloat16")
    )
    parser.add_argument("--fp8", action="store_true")
    for option in ("--compile", "--channels-last", "--fuse-qkv"):
        parser.add_argument(option, action=argparse.BooleanOptionalAction, default=None)
    given = parser.parse_args(arguments)
    wanted = Wanted(
        given.device, given.dtype, given.channels_last, given.fuse_qkv, given.compile, given.fp8
    )
    steps, side = (2, (64, 64)) if given.small else (STEPS, (WIDTH, HEIGHT))
    flops = picture_flops(given.small, steps, side)
    results: dict[str, Any] = {"tflop_per_picture": round(flops / 1e12, 4), "batches": {}}
    with tempfile.TemporaryDirectory(prefix="sdxl-") as name:
        folder = random_sdxl.save(Path(name), small=given.small, device=given.device)
        model = LocalModel("random-sdxl", "local", folder)
        for batch in given.batches:
            painter = sdxl.load(sdxl.Files(model), wanted=wanted, threads=1, batch_pictures=batch)
            results["backend"] = painter.card.backend
            results["batches"][batch] = measured(painter, batch, flops, steps, side)
            print(batch, results["batches"][batch], flush=True)
    if given.device == "cuda":
        results["device"] = torch.cuda.get_device_name()
    record(given.out, results, torch=torch.__version__)


def measured(
    painter: Easel[SdxlRow], batch: int, flops: float, steps: int, side: tuple[int, int]
) -> dict[str, float]:
    """Return a batch's figures beside the ceiling measured in the same minute."""
    assert isinstance(painter.model, Sdxl)
    unet = painter.model.pipeline.unet
    most = ceiling(unet.device.type, unet.dtype)
    seconds = seconds_per_picture(painter, batch, steps, side)
    return {
        "seconds_per_picture": round(seconds, 4),
        "pictures_per_second": round(1 / seconds, 4),
        "ceiling_tflops": round(most / 1e12, 2),
        "share_of_ceiling": round(flops / seconds / most, 4),
    }


if __name__ == "__main__":
    main()
