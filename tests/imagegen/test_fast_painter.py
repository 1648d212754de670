"""The speed-ups that a CPU can have too change no picture by more than rounding, and none by company."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from kit.models import LocalModel
from services.imagegen.painters import paint_all, sdxl
from services.imagegen.painters.device import Wanted
from services.imagegen.painters.easel import Easel
from services.imagegen.painters.sdxl.model import SdxlRow
from services.imagegen.values import Drawing, Lora
from tests.imagegen import small_lora, small_sdxl
from tests.imagegen.fakes import bytes_of, drawing

RED = drawing("a red circle", steps=3)
COMPANY = [drawing("a boat " * 20, seed=4, steps=5), drawing("a blue square", seed=8)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_sdxl.save(tmp_path_factory.mktemp("sdxl"))


def load(
    folder: Path, wanted: Wanted, loras: Mapping[str, Path] = MappingProxyType({})
) -> Easel[SdxlRow]:
    files = sdxl.Files(LocalModel("small", "1", folder), loras=loras)
    return sdxl.load(files, wanted=replace(wanted, device="cpu"), threads=1, batch_pictures=4)


def pixels(painter: Easel[SdxlRow], *wishes: Drawing) -> Any:
    return np.asarray(paint_all(painter, wishes)[0].pictures[0], int)


@pytest.fixture
def without_inductor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trace and guard as on a GPU, but run the traced operations as they are: seconds, not minutes."""
    compiled = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module,
        "compile",
        lambda self, **options: compiled(self, backend="eager", **options),
    )


@pytest.mark.usefixtures("without_inductor")
@pytest.mark.parametrize(
    "wanted", [Wanted(channels_last=True), Wanted(fuse_qkv=True), Wanted(compile=True)]
)
def test_a_fast_picture_is_the_same_picture_whatever_its_company(
    folder: Path, wanted: Wanted
) -> None:
    fast = load(folder, wanted)
    picture = pixels(fast, RED)
    assert np.abs(picture - pixels(load(folder, Wanted()), RED)).max() <= 1
    assert np.array_equal(pixels(fast, RED, *COMPANY), picture)


@pytest.mark.usefixtures("without_inductor")
def test_a_pass_is_compiled_once_for_each_length_of_prompt(folder: Path) -> None:
    torch._dynamo.reset()
    fast = load(folder, Wanted(compile=True))
    graphs = [_graphs(fast, RED), _graphs(fast, COMPANY[1]), _graphs(fast, *COMPANY)]
    assert 0 < graphs[0] == graphs[1] < graphs[2]
    assert graphs[2] == _graphs(fast, RED, *COMPANY)


@pytest.mark.usefixtures("without_inductor")
def test_a_lora_comes_and_goes_without_compiling_again(folder: Path, tmp_path: Path) -> None:
    torch._dynamo.reset()
    pipeline = StableDiffusionXLPipeline.from_pretrained(folder)
    loras = {"ink": small_lora.save(pipeline, tmp_path / "ink.safetensors")}
    fast = load(folder, Wanted(compile=True), loras)
    inked = RED.model_copy(update={"loras": (Lora(name="ink"),)})
    plain, graphs = pixels(fast, RED), _graphs(fast, RED)
    assert not np.array_equal(pixels(fast, inked), plain)
    assert np.array_equal(pixels(fast, RED), plain)
    assert _graphs(fast, RED) == graphs


def _graphs(painter: Easel[SdxlRow], *wishes: Drawing) -> int:
    paint_all(painter, wishes)
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def test_company_does_not_change_a_picture_in_bfloat16_either(folder: Path) -> None:
    painter = load(folder, Wanted(dtype="bfloat16"))
    assert painter.card.backend.endswith("cpu-bfloat16")
    [painted] = paint_all(painter, [RED])
    assert bytes_of(painted) == bytes_of(paint_all(painter, [RED, *COMPANY])[0])


def test_cudnn_may_not_choose_kernels_by_their_speed(folder: Path) -> None:
    torch.backends.cudnn.benchmark = True
    load(folder, Wanted())
    assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.deterministic
