"""LoRAs change the pictures that ask for them, and nothing else."""

import gc
import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from diffusers import StableDiffusionXLPipeline

from kit.models import ModelUnavailable
from services.imagegen.painters import paint_all
from services.imagegen.painters.easel import Easel
from services.imagegen.painters.sdxl import adapters
from services.imagegen.painters.sdxl.model import Sdxl, SdxlRow
from services.imagegen.values import Drawing, Lora
from tests.imagegen import small_lora, small_sdxl
from tests.imagegen.fakes import bytes_of, drawing

PLAIN = drawing("a red circle", steps=3)
INK, OIL = Lora(name="ink", weight=0.8), Lora(name="oil (v1.2)", weight=-0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_sdxl.save(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def lora_dir(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pipeline = StableDiffusionXLPipeline.from_pretrained(folder)
    files = tmp_path_factory.mktemp("loras")
    for seed, lora in enumerate((INK, OIL)):
        small_lora.save(pipeline, files / f"{lora.name}.safetensors", seed)
    return files


@pytest.fixture(scope="module")
def painter(folder: Path, lora_dir: Path) -> Easel[SdxlRow]:
    return small_sdxl.load(folder, lora_dir=str(lora_dir))


@pytest.fixture(scope="module")
def pipeline(painter: Easel[SdxlRow]) -> Any:
    assert isinstance(painter.model, Sdxl)
    return painter.model.pipeline


def wish(*loras: Lora) -> Drawing:
    return PLAIN.model_copy(update={"loras": loras})


def picture(painter: Easel[SdxlRow], drawing: Drawing) -> bytes:
    [painted] = paint_all(painter, [drawing])
    return bytes_of(painted)[0]


def test_the_model_is_bit_by_bit_itself_again_after_a_lora(painter: Easel[SdxlRow]) -> None:
    plain = picture(painter, PLAIN)
    ink, both = picture(painter, wish(INK)), picture(painter, wish(INK, OIL))
    assert len({plain, ink, both}) == 3
    assert [picture(painter, each) for each in (wish(INK), PLAIN, wish(INK, OIL), PLAIN)] == [
        ink,
        plain,
        both,
        plain,
    ]


def test_a_loras_weight_is_how_much_of_it_is_added(painter: Easel[SdxlRow]) -> None:
    weights = [INK.model_copy(update={"weight": weight}) for weight in (0.0, 0.4, 0.8)]
    none, some, all_of_it = (picture(painter, wish(each)) for each in weights)
    assert none == picture(painter, PLAIN)
    assert len({none, some, all_of_it}) == 3


def test_a_merged_layer_is_the_sum_that_the_file_says(
    painter: Easel[SdxlRow], pipeline: Any, lora_dir: Path
) -> None:
    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    weight = pipeline.unet.get_submodule(layer).weight
    picture(painter, PLAIN)
    before = weight.detach().clone()
    picture(painter, wish(INK))
    file = safetensors.torch.load_file(lora_dir / "ink.safetensors")
    key = f"lora_unet_{layer.replace('.', '_')}"
    scale = INK.weight * file[f"{key}.alpha"] / small_lora.RANK
    added = scale * file[f"{key}.lora_up.weight"] @ file[f"{key}.lora_down.weight"]
    assert torch.allclose(weight, before + added, atol=1e-5)


def test_switching_leaves_nothing_behind(painter: Easel[SdxlRow], pipeline: Any) -> None:
    def tensors() -> int:
        picture(painter, wish(INK))
        picture(painter, PLAIN)
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    tensors()
    assert tensors() == tensors()
    assert not any("lora" in name for name, _ in pipeline.unet.named_modules())


def test_a_lora_of_another_model_fails_its_drawing_and_changes_nothing(
    painter: Easel[SdxlRow], pipeline: Any, tmp_path: Path
) -> None:
    plain = picture(painter, PLAIN)
    weights = {f"lora_unet_nothing.lora_{way}.weight": torch.ones(2, 2) for way in ("up", "down")}
    file = tmp_path / "alien.safetensors"
    safetensors.torch.save_file(weights, file)
    changing = adapters.Adapters(pipeline, {"alien": file})
    with pytest.raises(ValueError, match=r"fits no layer|target modules"):
        changing.use([Lora(name="alien")])
    assert picture(painter, PLAIN) == plain


def test_the_card_names_the_files_that_are_loras(
    folder: Path, lora_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(lora_dir, tmp_path, dirs_exist_ok=True)
    shutil.copy(lora_dir / "ink.safetensors", tmp_path / ",.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no header")
    (tmp_path / "notes.txt").write_text("no LoRA")
    safetensors.torch.save_file({"weight": torch.ones(1)}, tmp_path / "other.safetensors")
    card = small_sdxl.load(folder, lora_dir=str(tmp_path)).card
    assert sorted(card.loras) == [INK.name, OIL.name]


def test_a_lora_is_known_by_the_hash_of_its_tensors(tmp_path: Path) -> None:
    weights = {"lora.up": torch.arange(4.0)}
    bare, titled = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    safetensors.torch.save_file(weights, bare)
    safetensors.torch.save_file(weights, titled, {"title": "the same"})
    expected = hashlib.sha256(weights["lora.up"].numpy().tobytes()).hexdigest()[:12]
    assert adapters.hash_of(bare) == adapters.hash_of(titled) == expected
    safetensors.torch.save_file(weights, bare, {"sshs_model_hash": "0123456789abcdef"})
    assert adapters.hash_of(bare) == "0123456789ab"


def test_a_missing_folder_is_named(folder: Path) -> None:
    with pytest.raises(ModelUnavailable, match="IMAGEGEN_LORA_DIR"):
        small_sdxl.load(folder, lora_dir="/nowhere")
