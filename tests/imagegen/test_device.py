"""Which of the wanted speed-ups a machine gets, and that a picture does not depend on company there."""

import pytest
import torch

from kit.models import ModelUnavailable
from services.imagegen.painters import device
from services.imagegen.painters.device import Wanted, plan

AMPERE, ADA, HOPPER = (8, 0), (8, 9), (9, 0)
EVERYTHING = Wanted(channels_last=True, fuse_qkv=True, compile=True)


def test_a_gpu_gets_what_makes_it_faster():
    planned = plan(Wanted(), HOPPER)
    assert planned.name == "cuda-float16-channels_last-fuse_qkv-compile"
    assert planned == plan(Wanted(device="cuda"), HOPPER)


def test_a_machine_without_a_gpu_gets_plain_float32():
    assert plan(Wanted(), None).name == "cpu-float32"
    assert plan(Wanted(device="cpu"), HOPPER).name == "cpu-float32"


def test_a_setting_goes_before_the_devices_usual():
    wishes = Wanted(dtype="bfloat16", channels_last=False, fuse_qkv=False, compile=False)
    assert plan(wishes, HOPPER).name == "cuda-bfloat16"
    assert plan(EVERYTHING, None).name == "cpu-float32-channels_last-fuse_qkv-compile"


def test_a_wanted_gpu_that_is_missing_is_named():
    with pytest.raises(ModelUnavailable, match="IMAGEGEN_DEVICE is cuda"):
        plan(Wanted(device="cuda"), None)


def test_loras_need_the_layers_that_fusing_would_hide():
    assert not plan(Wanted(), HOPPER, has_loras=True).fuse_qkv
    with pytest.raises(ModelUnavailable, match="IMAGEGEN_FUSE_QKV"):
        plan(Wanted(fuse_qkv=True), HOPPER, has_loras=True)


@pytest.fixture
def torchao(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "find_spec", lambda _: "found")


@pytest.mark.usefixtures("torchao")
def test_fp8_takes_bfloat16_as_torchao_asks_for_it_by_row():
    planned = plan(Wanted(fp8=True), HOPPER)
    assert planned.name == "cuda-bfloat16-channels_last-fuse_qkv-compile-fp8"
    with pytest.raises(ModelUnavailable, match="bfloat16 only"):
        plan(Wanted(fp8=True, dtype="float16"), ADA)


@pytest.mark.usefixtures("torchao")
@pytest.mark.parametrize(("gpu", "found"), [(None, "none"), (AMPERE, "8.0")])
def test_fp8_is_refused_without_a_gpu_that_has_it(gpu: tuple[int, int] | None, found: str):
    with pytest.raises(ModelUnavailable, match=f"8.9 or newer; this machine has {found}"):
        plan(Wanted(fp8=True), gpu)
    with pytest.raises(ModelUnavailable, match="this machine has none"):
        plan(Wanted(fp8=True, device="cpu"), HOPPER)


@pytest.mark.usefixtures("torchao")
def test_fp8_weights_cannot_take_loras():
    with pytest.raises(ModelUnavailable, match="exclude each other"):
        plan(Wanted(fp8=True), HOPPER, has_loras=True)


def test_fp8_without_torchao_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device, "find_spec", lambda _: None)
    with pytest.raises(ModelUnavailable, match=r"pip install '.\[fp8\]'"):
        plan(Wanted(fp8=True), HOPPER)


def test_fp8_is_for_the_transformers_linear_layers():
    linear = torch.nn.Linear(32, 64)
    inside = "up_blocks.0.attentions.1.transformer_blocks.0.ff.net.2"
    assert device.is_quantised(linear, inside)
    assert not device.is_quantised(linear, "time_embedding.linear_1")
    assert not device.is_quantised(torch.nn.Linear(32, 40), inside)
    assert not device.is_quantised(torch.nn.Conv2d(16, 16, 3), inside)
