"""The engine's promises: a picture depends on its own drawing, whoever shares its passes."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from services.imagegen.painters import Change, Painter, Sources, Step, paint_all
from services.imagegen.painters.easel import Easel
from services.imagegen.painters.sdxl.model import SdxlRow
from services.imagegen.painters.sdxl.samplers import SAMPLERS
from services.imagegen.values import Drawing, Progress, Scheduler
from tests.imagegen import small_sdxl
from tests.imagegen.fakes import (
    PlainModel,
    PlainPainter,
    PlainRow,
    bytes_of,
    drawing,
    perform,
)

SLOTS = 4
RED = drawing("a red circle", steps=5, negative_prompt="blue")
few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_sdxl.save(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="module")
def painter(folder: Path) -> Easel[SdxlRow]:
    return small_sdxl.load(folder, SLOTS)


def alone(painter: Painter, wish: Drawing) -> list[bytes]:
    return bytes_of(paint_all(painter, [wish])[0])


drawings = st.builds(
    drawing,
    st.sampled_from(["a red circle", "a blue square", "boat", "a red boat " * 9]),
    negative_prompt=st.sampled_from(["", "blue"]),
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 6),
    guidance=st.sampled_from([0.5, 1.0, 4.0, 12.0]),
    count=st.integers(1, 3),
    scheduler=st.sampled_from([None, *Scheduler]),
)
companies = st.lists(drawings, max_size=5)


@few
@given(
    wish=drawings,
    before=companies,
    after=companies,
    late=st.dictionaries(st.integers(1, 8), companies, max_size=3),
    leaving=st.dictionaries(st.integers(1, 8), st.sets(st.integers(0, 9)), max_size=3),
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
    assert bytes_of(ends.finished[ours]) == alone(painter, wish)


@few
@given(wish=drawings, company=companies.filter(bool), step=st.integers(1, 6))
def test_a_picture_may_join_at_any_step(
    painter: Painter, wish: Drawing, company: list[Drawing], step: int
) -> None:
    longest = max(each.steps for each in company)
    joined_at = min(step, longest)
    ends = perform(painter, company, {joined_at: [wish]})
    assert bytes_of(ends.finished[len(company)]) == alone(painter, wish)


@pytest.mark.parametrize("guidance", [0.5, 4.0])
@pytest.mark.parametrize("sampler", [None, *Scheduler])
def test_each_row_is_what_diffusers_own_pipeline_paints(
    painter: Easel[SdxlRow], folder: Path, sampler: Scheduler | None, guidance: float
) -> None:
    wish = RED.model_copy(update={"scheduler": sampler, "guidance": guidance})
    company = [drawing("a boat", steps=9, guidance=2.0, scheduler=each) for each in Scheduler][:3]
    rows = [painter.model.prepare(each, each.seed, {}) for each in (*company, wish)]
    while rows[-1].steps_left:
        for row, noise in zip(rows, painter.model.predict(rows), strict=True):
            row.advance(noise)

    pipeline = StableDiffusionXLPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    if sampler:
        kind, changes = SAMPLERS[sampler]
        pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **changes)
    theirs = pipeline(
        wish.prompt,
        negative_prompt=wish.negative_prompt,
        num_inference_steps=wish.steps,
        guidance_scale=wish.guidance,
        height=wish.height,
        width=wish.width,
        generator=torch.Generator().manual_seed(wish.seed),
        output_type="latent",
    ).images
    assert torch.allclose(rows[-1].latents, theirs, atol=1e-4, rtol=1e-4)


def test_their_order_does_not_matter(painter: Painter) -> None:
    wishes = [drawing(prompt, seed=n, steps=2 + n) for n, prompt in enumerate(("a boat", "red"))]
    wishes.append(RED)
    forth = [bytes_of(each) for each in paint_all(painter, wishes)]
    back = [bytes_of(each) for each in paint_all(painter, wishes[::-1])]
    assert forth == back[::-1]
    assert len({picture for [picture] in forth}) == 3


def test_a_count_is_as_many_single_pictures(painter: Painter) -> None:
    eight = alone(painter, drawing(steps=2, seed=3, count=8))
    assert eight == [alone(painter, drawing(steps=2, seed=3 + n))[0] for n in range(8)]


def test_a_cancelled_drawing_takes_no_further_step(painter: Painter) -> None:
    steps = []

    def on_step(step: Step) -> Change:
        steps.append(step.progress[0])
        return Change(unwanted=[0] if len(steps) == 2 else [])

    painter.paint([drawing(steps=50)], {}, on_step)
    assert steps == [Progress(step=1, steps=50), Progress(step=2, steps=50)]


def test_a_free_slot_is_taken_at_the_next_step() -> None:
    model = PlainModel()
    wishes = [drawing("long", steps=5), drawing("short", steps=2), drawing("late", steps=2)]
    ends = perform(PlainPainter(model=model, slots=2), wishes)
    assert list(ends.finished) == [1, 2, 0]
    assert model.passes == [["long", "short"]] * 2 + [["long", "late"]] * 2 + [["long", "long"]]


def test_the_painter_says_how_many_may_join_before_their_slots_are_free() -> None:
    rooms = []

    def on_step(step: Step) -> Change:
        rooms.append(step.room)
        return Change()

    wishes = [drawing(steps=6, count=2), drawing(steps=1), drawing(steps=1, count=2)]
    PlainPainter(slots=4).paint(wishes, {}, on_step)
    assert rooms == [1, 2, 2, 4, 4, 4]


def test_progress_is_the_mean_of_a_drawings_pictures() -> None:
    seen = []

    def on_step(step: Step) -> Change:
        seen.append(step.progress[0].step)
        return Change()

    PlainPainter(slots=2).paint([drawing(steps=2, count=4)], {}, on_step)
    assert seen == [0, 1, 1, 2]


class Poisoned(PlainModel):
    """Fails on a drawing of poison, at the given stage of its way."""

    def __init__(self, stage: str) -> None:
        super().__init__()
        self.stage = stage

    def prepare(self, drawing: Drawing, seed: int, sources: Sources) -> PlainRow:
        self._meet("prepare", drawing)
        return super().prepare(drawing, seed, sources)

    def predict(self, rows: Sequence[PlainRow]) -> list[None]:
        for row in rows:
            self._meet("predict", row.drawing)
        return super().predict(rows)

    def decode(self, row: PlainRow, is_tiled: bool) -> Image.Image:
        self._meet("decode", row.drawing)
        return super().decode(row, is_tiled)

    def _meet(self, stage: str, drawing: Drawing) -> None:
        if stage == self.stage and drawing.prompt == "poison":
            raise ValueError("secret internals")


@pytest.mark.parametrize("stage", ["prepare", "predict", "decode"])
def test_a_drawing_that_fails_fails_alone(stage: str) -> None:
    wishes = [drawing("a boat"), drawing("poison", count=2), drawing("a tree")]
    ends = perform(PlainPainter(model=Poisoned(stage)), wishes)
    assert isinstance(ends.failed[1], ValueError)
    assert bytes_of(ends.finished[0]) == alone(PlainPainter(), wishes[0])
    assert bytes_of(ends.finished[2]) == alone(PlainPainter(), wishes[2])
