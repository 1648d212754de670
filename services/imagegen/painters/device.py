"""What the hardware is used for: where a model runs, in which numbers, and what makes it faster.

Nothing here may let a picture depend on its company. So cuDNN may not choose its kernels by timing
them, which differs from process to process, nor take those that add up in any order; and FP8 scales
each row of an activation by itself, as one scale for all would be the neighbours' too.
"""

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch

from kit.models import ModelUnavailable

FP8_CAPABILITY = (8, 9)  # Ada, Hopper and newer
FP8_MULTIPLE = 16  # what torch's scaled matrix product asks of both sides
MOST_GRAPHS = 4096  # torch stops at 8, but each size and length of prompt needs its own


@dataclass(frozen=True)
class Wanted:
    """What the settings ask for; None leaves it to the device."""

    device: str = "auto"
    dtype: str = "auto"
    channels_last: bool | None = None
    fuse_qkv: bool | None = None
    compile: bool | None = None
    fp8: bool = False


@dataclass(frozen=True)
class Plan:
    """What is done on this machine."""

    device: str
    dtype: torch.dtype
    channels_last: bool
    fuse_qkv: bool
    compile: bool
    fp8: bool

    @property
    def name(self) -> str:
        """Return what a picture's bytes depend on, for the card."""
        parts = [self.device, str(self.dtype).removeprefix("torch.")]
        options = ("channels_last", "fuse_qkv", "compile", "fp8")
        return "-".join(parts + [option for option in options if getattr(self, option)])


def plan(wanted: Wanted, gpu: tuple[int, int] | None, *, has_loras: bool = False) -> Plan:
    """Decide what to do on a GPU of this compute capability, or without one.

    Raises ModelUnavailable for what this machine cannot do or what excludes one another.
    """
    if wanted.device == "cuda" and gpu is None:
        raise ModelUnavailable("IMAGEGEN_DEVICE is cuda, but torch finds no GPU.")
    on_gpu = wanted.device != "cpu" and gpu is not None
    if wanted.fp8:
        _check_fp8(wanted, gpu if on_gpu else None, has_loras)
    if wanted.fuse_qkv and has_loras:
        raise ModelUnavailable("IMAGEGEN_FUSE_QKV would hide the layers that LoRAs change.")
    usual = (torch.bfloat16 if wanted.fp8 else torch.float16) if on_gpu else torch.float32
    return Plan(
        device="cuda" if on_gpu else "cpu",
        dtype=usual if wanted.dtype == "auto" else getattr(torch, wanted.dtype),
        channels_last=_or(wanted.channels_last, on_gpu),
        fuse_qkv=_or(wanted.fuse_qkv, on_gpu and not has_loras),
        compile=_or(wanted.compile, on_gpu),
        fp8=wanted.fp8,
    )


def capability() -> tuple[int, int] | None:
    """Return the compute capability of this machine's GPU, None without one."""
    return torch.cuda.get_device_capability() if torch.cuda.is_available() else None


def prepare(pipeline: Any, planned: Plan) -> None:
    """Make an SDXL pipeline fast on its device; compiling itself happens at first use."""
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    if pipeline.vae.config.force_upcast:  # such a VAE overflows in float16
        pipeline.vae.to(torch.float32)
    pipeline.unet.requires_grad_(
        False
    )  # as peft leaves it: else compiled code is not valid any more
    if planned.channels_last:
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
    if planned.fuse_qkv:
        pipeline.fuse_qkv_projections()
    if planned.fp8:
        _quantise(pipeline.unet)
    if planned.compile:
        torch._dynamo.config.recompile_limit = MOST_GRAPHS
        torch._dynamo.config.accumulated_recompile_limit = MOST_GRAPHS
        # One graph per shape: kernels of any shape are slower, and buckets keep the shapes few.
        pipeline.unet.compile_repeated_blocks(fullgraph=True, dynamic=False)


def _check_fp8(wanted: Wanted, gpu: tuple[int, int] | None, has_loras: bool) -> None:
    if gpu is None or gpu < FP8_CAPABILITY:
        found = "none" if gpu is None else f"{gpu[0]}.{gpu[1]}"
        raise ModelUnavailable(
            f"IMAGEGEN_FP8 needs a GPU of compute capability 8.9 or newer; this machine has {found}."
        )
    if wanted.dtype not in ("auto", "bfloat16"):
        raise ModelUnavailable("IMAGEGEN_FP8 works with IMAGEGEN_DTYPE=bfloat16 only.")
    if find_spec("torchao") is None:
        raise ModelUnavailable("IMAGEGEN_FP8 needs torchao: pip install '.[fp8]'.")
    if has_loras:
        raise ModelUnavailable("IMAGEGEN_FP8 and IMAGEGEN_LORA_DIR exclude each other.")


def _quantise(unet: torch.nn.Module) -> None:
    quantization = importlib.import_module("torchao.quantization")  # the `gpu` extra has it
    config = quantization.Float8DynamicActivationFloat8WeightConfig(
        granularity=quantization.PerRow()
    )
    quantization.quantize_(unet, config, filter_fn=is_quantised)


def is_quantised(module: torch.nn.Module, name: str) -> bool:
    """Tell whether a layer of the UNet is worth it: those of the transformers, nearly all the work."""
    return (
        isinstance(module, torch.nn.Linear)
        and "transformer_blocks" in name
        and not module.in_features % FP8_MULTIPLE
        and not module.out_features % FP8_MULTIPLE
    )


def _or(wish: bool | None, usual: bool) -> bool:
    return usual if wish is None else wish
