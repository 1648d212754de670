"""A model that we know by name is used as its makers recommend, unless something else is asked for."""

import importlib
import json
from pathlib import Path

import pytest
import torch

from kit.models import LocalModel, ModelUnavailable
from services.imagegen import drawings
from services.imagegen.painters import paint_all, sdxl
from services.imagegen.schemas import DrawRequest
from tests.imagegen import small_sdxl
from tests.imagegen.fakes import bytes_of, drawing

ANIMAGINE = "cagliostrolab/animagine-xl-3.0"
SIZES = [
    "1024x1024",
    "1152x896",
    "896x1152",
    "1216x832",
    "832x1216",
    "1344x768",
    "768x1344",
    "1536x640",
    "640x1536",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of the hub, which has no `defaults.json`."""
    folder = small_sdxl.save(tmp_path_factory.mktemp("sdxl"))
    (folder / "defaults.json").unlink()
    return folder


def test_animagine_needs_nothing_but_a_prompt(folder: Path) -> None:
    card = small_sdxl.load(folder, name=ANIMAGINE, vae="own").card
    made = drawings.from_words(DrawRequest(prompt="1girl, night"), card, 2.5)
    assert (made.width, made.height, made.steps, made.guidance) == (832, 1216, 28, 7.0)
    assert made.scheduler == "euler_ancestral"
    assert made.prompt == "1girl, night, masterpiece, best quality"
    assert made.negative_prompt.startswith("nsfw, lowres, bad anatomy, bad hands, text, error,")
    assert card.template == "1girl/1boy, character, series, everything else"
    assert list(card.sizes) == SIZES


def test_a_caller_has_the_last_word(folder: Path) -> None:
    card = small_sdxl.load(folder, name=ANIMAGINE, vae="own").card
    wishes = {"negative_prompt": "", "quality_tags": "", "width": 1024, "height": 1024, "steps": 20}
    made = drawings.from_words(
        DrawRequest.model_validate({"prompt": "1girl", "scheduler": "ddim", **wishes}), card, 2.5
    )
    assert (made.prompt, made.negative_prompt, made.scheduler) == ("1girl", "", "ddim")
    assert (made.width, made.height, made.steps) == (1024, 1024, 20)


def test_the_models_folder_goes_before_what_we_know(folder: Path, tmp_path: Path) -> None:
    folder = small_sdxl.save(tmp_path, {"quality_tags": "great"})
    card = small_sdxl.load(folder, name=ANIMAGINE, vae="own").card
    assert (card.width, card.steps, card.quality_tags) == (64, 3, "great")
    assert card.negative_prompt.startswith("nsfw")


def test_an_unknown_model_has_an_sdxls_usual_defaults(folder: Path) -> None:
    card = small_sdxl.load(folder).card
    assert (card.width, card.height, card.steps, card.guidance) == (64, 64, 28, 7.0)
    assert (card.negative_prompt, card.quality_tags, card.sizes) == ("", "", ())
    assert card.scheduler == "euler_ancestral"  # its own


def test_a_defaults_file_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    folder = small_sdxl.save(tmp_path, {"stepps": 3})
    with pytest.raises(ModelUnavailable, match=r"defaults\.json cannot be used: stepps"):
        small_sdxl.load(folder)


def test_a_size_that_the_model_was_not_trained_for_is_a_warning(folder: Path) -> None:
    card = small_sdxl.load(folder, name=ANIMAGINE, vae="own").card
    usual, odd = (
        drawings.from_words(DrawRequest(prompt="1girl", width=width), card, 2.5)
        for width in (832, 512)
    )
    assert drawings.warnings(usual, card) == ()
    assert drawings.warnings(odd, card) == (f"This model paints best at {', '.join(SIZES)}.",)


@pytest.mark.parametrize(
    ("name", "vae", "asked"),
    [
        (ANIMAGINE, "", ["hub:madebyollin/sdxl-vae-fp16-fix"]),
        (ANIMAGINE, "own", []),
        (ANIMAGINE, "path:vae", ["path:vae"]),
        ("another", "", []),
    ],
)
def test_the_vae_is_the_wanted_one_or_the_recommended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, vae: str, asked: list[str]
) -> None:
    references: list[str] = []

    def resolve(reference: str, _: Path) -> LocalModel:
        references.append(reference)
        return LocalModel("vae", "1", tmp_path)

    monkeypatch.setattr(
        importlib.import_module("services.imagegen.painters.sdxl.load"), "resolve", resolve
    )
    files = sdxl.gather(LocalModel(name, "1", tmp_path), tmp_path, vae=vae)
    assert references == asked
    assert (files.vae is not None) is bool(asked)


def test_another_vae_paints_the_same_latents_in_its_own_way(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    small_sdxl.vae().save_pretrained(tmp_path)
    own, other = small_sdxl.load(folder), small_sdxl.load(folder, vae=f"path:{tmp_path}")
    assert other.card.vae == f"{tmp_path.name}@local"
    wish = drawing("a boat", steps=2)
    one, two = (bytes_of(paint_all(painter, [wish])[0]) for painter in (own, other))
    assert one != two


def test_a_folder_without_a_vae_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    with pytest.raises(ModelUnavailable, match="holds no AutoencoderKL"):
        small_sdxl.load(folder, vae=f"path:{tmp_path}")
