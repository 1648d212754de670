"""The Kandinsky painter; what all painters promise is in test_easel.py."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, KandinskyV22Pipeline
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from kit.errors import Unprocessable
from kit.models import ModelUnavailable
from services.imagegen.painters import Painter, loading, paint_all
from services.imagegen.painters.easel import Easel
from services.imagegen.painters.kandinsky.model import Kandinsky
from services.imagegen.settings import Settings
from services.imagegen.values import Blending, Drawing, Ingredient
from tests.imagegen import small_kandinsky, small_sdxl
from tests.imagegen.fakes import bytes_of, drawing, perform

SOURCES = {
    "photo": Image.linear_gradient("L").convert("RGB"),
    "sky": Image.new("RGB", (96, 64), "blue"),
}
PHOTO, SKY = (Ingredient(weight=0.5, picture=name) for name in SOURCES)
BOAT = Ingredient(weight=0.5, text="a boat")
few = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_kandinsky.save(tmp_path_factory.mktemp("kandinsky"))


def load(folder: Path, **changes: Any) -> Painter:
    """Load it as the worker does."""
    return loading.load(Settings(model=f"path:{folder}", device="cpu", **changes))


@pytest.fixture(scope="module")
def painter(folder: Path) -> Painter:
    return load(folder)


def model_of(painter: Painter) -> Kandinsky:
    assert isinstance(painter, Easel)
    assert isinstance(painter.model, Kandinsky)
    return painter.model


def painted(painter: Painter, *wishes: Drawing) -> list[list[bytes]]:
    return [bytes_of(each) for each in paint_all(painter, wishes, SOURCES)]


def blend(*parts: Ingredient, **changes: Any) -> Drawing:
    return drawing("", ingredients=parts, **changes)


def test_its_card_is_what_the_published_pipeline_does(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder.parent, tmp_path, dirs_exist_ok=True)
    (tmp_path / "small-decoder" / "defaults.json").unlink()
    card = load(tmp_path / "small-decoder").card
    assert (card.width, card.height, card.steps, card.guidance) == (768, 768, 50, 4.0)
    assert (card.side_multiple, card.samplers) == (64, ())
    assert card.blending is Blending.EMBEDDINGS


@pytest.mark.parametrize("guidance", [0.5, 4.0])
@pytest.mark.parametrize("learns_variance", [True, False])
def test_each_row_is_what_diffusers_own_pipeline_paints(
    folder: Path, tmp_path: Path, guidance: float, learns_variance: bool
) -> None:
    pipeline = KandinskyV22Pipeline.from_pretrained(folder)
    if not learns_variance:
        pipeline.scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, clip_sample=False)
    pipeline.save_pretrained(tmp_path / "decoder")
    pipeline.set_progress_bar_config(disable=True)
    wish = drawing("a red circle", steps=5, guidance=guidance, negative_prompt="blue")
    company = [drawing("a boat", steps=9, guidance=2.0), blend(PHOTO, SKY, steps=7)]
    company.append(blend(PHOTO, BOAT, steps=6))

    model = model_of(load(tmp_path / "decoder", prior=f"path:{folder.parent / 'small-prior'}"))
    rows = [model.prepare(each, each.seed, SOURCES) for each in (*company, wish)]
    avoided, wanted = rows[-1].conditions.chunk(2)
    while rows[-1].steps_left:
        for row, noise in zip(rows, model.predict(rows), strict=True):
            row.advance(noise)
    theirs, picture = (
        pipeline(
            wanted,
            avoided,
            height=wish.height,
            width=wish.width,
            num_inference_steps=wish.steps,
            guidance_scale=wish.guidance,
            generator=torch.Generator().manual_seed(wish.seed),
            output_type=kind,
        ).images
        for kind in ("latent", "pil")
    )
    assert torch.allclose(rows[-1].latents, theirs, atol=1e-4, rtol=1e-4)
    ours = np.asarray(model.decode(rows[-1], False), int)
    assert np.abs(ours - np.asarray(picture[0], int)).max() <= 1


wishes = st.builds(
    drawing,
    st.sampled_from(["a red circle", "boat"]),
    negative_prompt=st.sampled_from(["", "blue"]),
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 4),
    guidance=st.sampled_from([1.0, 4.0, 12.0]),
    count=st.integers(1, 2),
)
companies = st.lists(wishes, max_size=4)


@few
@given(
    wish=wishes,
    before=companies,
    after=companies,
    late=st.dictionaries(st.integers(1, 4), companies, max_size=2),
    leaving=st.dictionaries(st.integers(1, 4), st.sets(st.integers(0, 9)), max_size=2),
)
def test_company_does_not_change_a_picture(
    painter: Painter,
    wish: Drawing,
    before: list[Drawing],
    after: list[Drawing],
    late: dict[int, list[Drawing]],
    leaving: dict[int, set[int]],
) -> None:
    ours = len(before)
    leaving = {step: numbers - {ours} for step, numbers in leaving.items()}
    ends = perform(painter, [*before, wish, *after], late, leaving)
    assert [bytes_of(ends.finished[ours])] == painted(painter, wish)


def test_blends_depend_on_their_own_sources_only(painter: Painter) -> None:
    blends = [blend(PHOTO, BOAT), blend(PHOTO, SKY), blend(BOAT, seed=2), drawing("a boat")]
    together = painted(painter, *blends)
    assert together == [painted(painter, each)[0] for each in blends]
    assert len({picture for [picture] in together}) == 4


def test_a_blend_leans_to_its_heavier_source(painter: Painter) -> None:
    model = model_of(painter)

    def wanted(photo: float) -> torch.Tensor:
        parts = [PHOTO.model_copy(update={"weight": photo})]
        parts.append(SKY.model_copy(update={"weight": 1 - photo}))
        row = model.prepare(blend(*parts), 7, SOURCES)
        return row.conditions[1]

    assert torch.allclose(wanted(0.5), (wanted(1.0) + wanted(0.0)) / 2, atol=1e-5)
    assert torch.allclose(wanted(0.25), (wanted(0.5) + wanted(0.0)) / 2, atol=1e-5)


def test_guidance_and_negative_prompt_act(painter: Painter) -> None:
    variants = [drawing("a red circle", steps=3), drawing("a red circle", steps=3, guidance=9.0)]
    variants.append(drawing("a red circle", steps=3, negative_prompt="boat"))
    assert len({picture for [picture] in painted(painter, *variants)}) == 3


def test_a_preview_has_one_pixel_per_latent(painter: Painter) -> None:
    model = model_of(painter)
    row = model.prepare(drawing(width=128), 1, {})
    row.advance(model.predict([row])[0])
    assert model.preview(row).size == (16, 8)
    assert model.decode(row, False).size == (128, 64)


def test_one_folder_may_hold_both_halves(folder: Path, tmp_path: Path) -> None:
    combined = load(small_kandinsky.save_combined(tmp_path))
    assert painted(combined, blend(PHOTO, BOAT)) == painted(load(folder), blend(PHOTO, BOAT))


def test_without_an_image_encoder_words_are_blended(tmp_path: Path) -> None:
    painter = load(small_kandinsky.save(tmp_path, image_encoder=False))
    assert painter.card.blending is Blending.WORDS
    assert painted(painter, blend(BOAT))
    with pytest.raises(Unprocessable, match="words only"):
        painted(painter, blend(BOAT, PHOTO))


def test_strength_has_no_meaning_for_it(painter: Painter) -> None:
    wish = blend(PHOTO, BOAT)
    assert painted(painter, wish.model_copy(update={"strength": 0.5})) == painted(painter, wish)


def test_a_model_is_known_by_its_files(tmp_path: Path) -> None:
    sdxl = load(small_sdxl.save(tmp_path / "sdxl"))
    assert sdxl.card.blending is Blending.LATENTS
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ModelUnavailable, match=r"model_index\.json"):
        load(other)
    (other / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(ModelUnavailable, match="FluxPipeline"):
        load(other)


def test_the_prior_is_found_beside_the_decoder() -> None:
    hub = "hub:kandinsky-community/kandinsky-2-2-"
    assert loading.beside(f"{hub}decoder") == f"{hub}prior"
    assert loading.beside("path:/models/decoder") == "path:/models/prior"
    for unclear in (f"{hub}decoder@a1b2", "path:/decoders/painting", "path:painting"):
        with pytest.raises(ModelUnavailable, match="IMAGEGEN_PRIOR"):
            loading.beside(unclear)


def test_what_is_no_prior_is_named(folder: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no prior of Kandinsky"):
        load(folder, prior=f"path:{folder}")
