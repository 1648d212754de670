"""The cost model finds the truth, follows a lasting change and ignores a stall."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.cost import CostModel

SHAPES = [(1, 12), (8, 96), (1, 256), (16, 4096)]
Costs = tuple[float, float, float]
TYPICAL: Costs = (1e-3, 2e-4, 4e-5)  # of the order of MiniLM's on one core


def cost(costs: Costs, items: int, padded: int) -> float:
    return costs[0] + costs[1] * items + costs[2] * padded


def calibrated(costs: Costs = TYPICAL) -> CostModel:
    model = CostModel()
    model.calibrate([(*shape, cost(costs, *shape)) for shape in SHAPES])
    return model


def batches(seed: int, count: int) -> list[tuple[int, int]]:
    draw = random.Random(seed)
    sizes = [(draw.randint(1, 32), draw.randint(3, 128)) for _ in range(count)]
    return [(items, items * tokens) for items, tokens in sizes]


Positive = st.floats(1e-6, 1e-2)


@settings(deadline=None)
@given(
    costs=st.tuples(Positive, Positive, Positive), shape=st.tuples(st.integers(1, 64), st.just(64))
)
def test_four_shapes_are_enough_to_predict_every_other(costs: Costs, shape: tuple[int, int]):
    model = calibrated(costs)
    items, tokens = shape
    expected = cost(costs, items, items * tokens)
    assert model.seconds(items, items * tokens) == pytest.approx(expected, rel=0.01)


@settings(deadline=None)
@given(costs=st.tuples(*[st.just(0.0) | Positive] * 3).filter(any), noise=st.floats(0, 0.3))
def test_no_cost_is_ever_negative(costs: Costs, noise: float):
    draw = random.Random(0)
    model = CostModel()
    model.calibrate(
        [(*s, max(1e-9, cost(costs, *s)) * (1 + noise * draw.random())) for s in SHAPES]
    )
    assert min(model.per_batch, model.per_item, model.per_token) >= 0
    assert model.seconds(32, 4096) >= model.seconds(1, 8)


@pytest.mark.parametrize("stalled", range(4))
def test_a_batch_that_stalls_changes_no_prediction(stalled: int):
    model = calibrated()
    for number, shape in enumerate(batches(seed=1, count=8)):
        took = cost(TYPICAL, *shape) * (1000 if number == stalled else 1)
        model.observe(*shape, took)
        assert model.seconds(8, 256) == pytest.approx(cost(TYPICAL, 8, 256), rel=0.01)


def test_stalls_here_and_there_do_not_bend_the_fit():
    model = calibrated()
    for number, shape in enumerate(batches(seed=2, count=400)):
        model.observe(*shape, cost(TYPICAL, *shape) * (100 if number % 20 == 7 else 1))
    for shape in SHAPES:
        assert model.seconds(*shape) == pytest.approx(cost(TYPICAL, *shape), rel=0.15)


def test_a_machine_that_slows_down_is_believed_within_eight_batches():
    model = calibrated()
    for shape in batches(seed=3, count=8):
        model.observe(*shape, 3 * cost(TYPICAL, *shape))
    assert model.seconds(8, 256) == pytest.approx(3 * cost(TYPICAL, 8, 256), rel=0.01)


def test_live_batches_correct_a_calibration_that_was_off():
    model = CostModel()
    model.calibrate([(1, 12, 2e-3), (8, 96, 16e-3)])  # as if tokens were all that counts
    for shape in batches(seed=4, count=600):
        model.observe(*shape, cost(TYPICAL, *shape))
    for shape in batches(seed=5, count=20):
        assert model.seconds(*shape) == pytest.approx(cost(TYPICAL, *shape), rel=0.25)


def test_noise_of_a_busy_machine_averages_out():
    model, draw = calibrated(), random.Random(6)
    for shape in batches(seed=6, count=400):
        model.observe(*shape, cost(TYPICAL, *shape) * draw.lognormvariate(0, 0.25))
    for shape in SHAPES:
        assert model.seconds(*shape) == pytest.approx(cost(TYPICAL, *shape), rel=0.3)
