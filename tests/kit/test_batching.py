"""What callers of a Batcher may rely on, with real threads; test_schedules.py has the random schedules."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest

from kit.batching import Batcher
from kit.errors import NotReady, Overloaded
from kit.metrics import Metrics
from tests.kit import tiny
from tests.support import serve

POISON = 13


class Model:
    """Answers n with "n!", refuses 13, keeps count, and waits while its gate is closed."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, values: list[int]) -> Sequence[str]:
        self.gate.wait()
        self.seen.append(values)
        if POISON in values:
            raise ValueError("poison")
        return [f"{value}!" for value in values]

    @property
    def computed(self) -> set[int]:
        return {value for batch in self.seen for value in batch}


@asynccontextmanager
async def plugged(
    model: Model, *, max_items: int = 32, max_queue_ms: float = 1e6
) -> AsyncGenerator[Batcher[int, str]]:
    """Run a batcher whose model is busy with one item until its gate opens."""
    batcher: Batcher[int, str] = Batcher(
        model, metrics=Metrics("test"), max_items=max_items, max_queue_ms=max_queue_ms
    )
    async with batcher.running([0]):
        model.gate.clear()
        plug = asyncio.create_task(batcher.submit(-1))
        await asyncio.sleep(0)  # the plug is handed over
        await asyncio.sleep(0)  # the batcher takes it
        model.seen.clear()
        yield batcher
        model.gate.set()
        await plug


async def test_a_poisonous_input_fails_alone():
    model = Model()
    async with plugged(model) as batcher:
        calls = [asyncio.create_task(batcher.submit(value)) for value in range(10, 18)]
        await asyncio.sleep(0)
        model.gate.set()
        answers = await asyncio.gather(*calls, return_exceptions=True)
    failed = [
        value for value, answer in zip(range(10, 18), answers, strict=True) if answer != f"{value}!"
    ]
    assert failed == [POISON]


async def test_what_waits_together_is_computed_together():
    model = Model()
    async with plugged(model) as batcher:
        calls = [asyncio.create_task(batcher.submit(value)) for value in range(20, 28)]
        await asyncio.sleep(0)
        model.gate.set()
        await asyncio.gather(*calls)
    assert model.seen[1:] == [list(range(20, 28))]


async def test_a_full_queue_refuses_and_says_when_to_come_back():
    def slow(values: list[int]) -> Sequence[int]:
        time.sleep(0.01 * len(values))
        return values

    batcher: Batcher[int, int] = Batcher(slow, metrics=Metrics("test"), max_queue_ms=20)
    async with batcher.running([0]):
        waiting = asyncio.create_task(batcher.submit_many(list(range(32))))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await batcher.submit(1)
        assert 0 < refused.value.retry_after_seconds < 10
        await batcher.check(1)  # a probe still gets through
        await waiting


async def test_a_model_that_answers_too_few_fails_the_callers_and_not_the_batcher():
    def model(values: list[str]) -> Sequence[str]:
        return [value for value in values if value != "swallowed"]

    batcher: Batcher[str, str] = Batcher(model, metrics=Metrics("test"))
    async with batcher.running(["x"]):
        with pytest.raises(ValueError, match="0 answers to 1 inputs"):
            await batcher.submit("swallowed")
        assert await batcher.submit("x") == "x"


async def test_a_model_that_fails_its_sample_does_not_start():
    batcher: Batcher[int, str] = Batcher(Model(), metrics=Metrics("test"))
    with pytest.raises(ValueError, match="poison"):
        async with batcher.running([POISON]):
            pass


async def test_a_request_that_cannot_be_done_in_its_budget_is_refused_before_it_starts():
    seen: list[int] = []

    def slow(texts: list[str]) -> Sequence[str]:
        seen.append(len(texts))
        time.sleep(0.05 * len(texts))
        return texts

    async with serve(tiny.create_app(slow)) as client:
        seen.clear()
        answer = await client.post(
            "/shout", json={"texts": ["x"] * 30}, headers={"X-Request-Timeout-Ms": "500"}
        )
        metrics = (await client.get("/metrics")).text
    assert answer.status_code == 504
    assert "needs about" in answer.json()["detail"]
    assert answer.headers["x-should-retry"] == "false"
    assert seen in ([], [1])  # the canary, which shows whether the model is still so slow
    assert 'switchboard_shed_total{reason="deadline"} 1.0' in metrics


async def test_the_most_urgent_goes_first():
    gate, order = threading.Event(), []
    gate.set()

    def noting(texts: list[str]) -> Sequence[str]:
        gate.wait()
        order.extend(texts)
        return texts

    async with serve(tiny.create_app(noting)) as client:
        gate.clear()
        order.clear()
        budgets = {"plug": 50_000, "later": 40_000, "soon": 20_000, "next": 30_000}
        calls = []
        for text, budget in budgets.items():
            headers = {"X-Request-Timeout-Ms": str(budget)}
            sent = client.post("/shout", json={"texts": [text]}, headers=headers)
            calls.append(asyncio.create_task(sent))
            await asyncio.sleep(0.02)
        gate.set()
        await asyncio.gather(*calls)
    assert order == ["plug", "soon", "next", "later"]


async def test_a_batcher_that_stops_leaves_no_caller_waiting():
    model = Model()
    batcher: Batcher[int, str] = Batcher(model, metrics=Metrics("test"), max_items=1)
    async with batcher.running([0]):
        model.gate.clear()
        running, waiting = (asyncio.create_task(batcher.submit(value)) for value in (1, 2))
        await asyncio.sleep(0)  # both are handed over
        await asyncio.sleep(0)  # the batcher takes the first
        asyncio.get_running_loop().call_later(0.05, model.gate.set)
    async with asyncio.timeout(10):
        late = asyncio.create_task(batcher.submit(3))
        answers = await asyncio.gather(running, waiting, late, return_exceptions=True)
    assert [type(answer) for answer in answers] == [NotReady] * 3


async def test_whoever_leaves_while_a_poisonous_batch_is_halved_costs_nothing_more():
    seen: list[list[int]] = []
    loop = asyncio.get_running_loop()

    def model(values: list[int]) -> Sequence[int]:
        seen.append(values)
        if POISON in values:
            loop.call_soon_threadsafe(leaving.cancel)
            raise ValueError("poison")
        return values

    batcher: Batcher[int, int] = Batcher(model, metrics=Metrics("test"))
    async with batcher.running([0]):
        seen.clear()
        poisoned = asyncio.create_task(batcher.submit(POISON))
        leaving = asyncio.create_task(batcher.submit_many([21, 22, 23]))
        await asyncio.gather(poisoned, leaving, return_exceptions=True)
        await batcher.submit(5)
    assert seen == [[POISON, 21, 22, 23], [0], [POISON], [5]]  # 0 is the canary


async def test_a_probe_goes_before_all_that_waits():
    model = Model()
    async with plugged(model, max_items=1) as batcher:
        waiting = asyncio.create_task(batcher.submit_many([20, 21, 22]))
        await asyncio.sleep(0)
        probe = asyncio.create_task(batcher.check(7))
        await asyncio.sleep(0)
        model.gate.set()
        await asyncio.gather(waiting, probe)
    assert model.seen[1] == [7]


async def test_a_batch_holds_inputs_of_like_length_and_no_more_padded_tokens_than_allowed():
    seen: list[list[int]] = []

    def model(lengths: list[int]) -> Sequence[int]:
        seen.append(lengths)
        return lengths

    batcher: Batcher[int, int] = Batcher(
        model, metrics=Metrics("test"), tokens=lambda length: length, max_tokens=30
    )
    async with batcher.running([1]):
        seen.clear()
        assert await batcher.submit_many([10, 1, 20, 40, 2]) == [10, 1, 20, 40, 2]
    assert seen == [[1, 2, 10], [20], [40]]


async def test_time_in_the_model_for_a_caller_who_left_is_counted_as_wasted():
    metrics, gate = Metrics("test"), threading.Event()
    gate.set()

    def model(values: list[int]) -> Sequence[int]:
        gate.wait()
        return values

    batcher: Batcher[int, int] = Batcher(model, metrics=metrics)
    async with batcher.running([0]):
        gate.clear()
        leaving = asyncio.create_task(batcher.submit(1))
        await asyncio.sleep(0)  # it is handed over
        await asyncio.sleep(0)  # the batcher takes it
        leaving.cancel()
        gate.set()
        await batcher.submit(2)
    wasted = metrics.registry.get_sample_value("switchboard_wasted_inference_seconds_total")
    assert wasted
    assert wasted > 0
