"""What callers of a Batcher may rely on, whatever comes when: a thousand random schedules on a virtual clock."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.batching import ROOM
from kit.errors import DeadlineExceeded, NotReady, Overloaded
from kit.packing import PADDING
from tests.kit import virtual
from tests.kit.virtual import Model, Poisoned, Text

MAX_TOKENS = 512
QUEUE_SECONDS = 0.2
LONGEST_BATCH = Model().seconds(16, MAX_TOKENS)  # may still run for callers who have left


@dataclass(frozen=True)
class Plan:
    """One caller: when it comes, with what, how long it has, and when it loses patience."""

    at: float
    tokens: list[int]
    budget: float | None
    leaves_after: float | None
    poisonous: int | None


@dataclass
class Outcome:
    plan: Plan
    result: Any = None
    left_at: float = float("inf")
    late_at: float = float("inf")
    backlog_before: float = 0.0
    counted_before: float = 0.0
    at_most_before: float = 0.0  # what all callers inside would cost, each text alone


Seconds = st.integers(0, 400).map(lambda ms: ms / 1000)
Plans = st.lists(
    st.builds(
        Plan,
        at=Seconds,
        tokens=st.lists(st.integers(1, 200), min_size=1, max_size=6),
        budget=st.none() | st.integers(1, 800).map(lambda ms: ms / 1000),
        leaves_after=st.none() | Seconds,
        poisonous=st.sampled_from([None, None, None, None, 0]),
    ),
    min_size=1,
    max_size=25,
)
Stalls = st.dictionaries(st.integers(1, 20), st.floats(0.01, 0.3), max_size=2)


async def _call(
    number: int, plan: Plan, batcher: Any, model: Model, inside: dict[int, float]
) -> Outcome:
    outcome = Outcome(plan)
    await asyncio.sleep(plan.at)
    texts = [
        Text(number, place, tokens, place == plan.poisonous)
        for place, tokens in enumerate(plan.tokens)
    ]
    started = virtual.now()
    outcome.backlog_before = batcher.backlog_ms / 1000
    outcome.counted_before = batcher.counted_ms / 1000
    outcome.at_most_before = sum(inside.values())
    inside[number] = sum(model.seconds(1, text.tokens) for text in texts)
    if plan.budget is not None:
        outcome.late_at = started + plan.budget
    try:
        with virtual.budget(plan.budget):
            async with asyncio.timeout(plan.leaves_after):
                outcome.result = await batcher.submit_many(texts)
    except TimeoutError:
        outcome.left_at = virtual.now()
    except (Poisoned, Overloaded, DeadlineExceeded, NotReady) as error:
        outcome.result = error
    del inside[number]
    return outcome


async def _everyone(model: Model, plans: list[Plan], max_items: int) -> list[Outcome]:
    batcher = virtual.batcher(
        model,
        max_items=max_items,
        max_tokens=MAX_TOKENS,
        max_queue_ms=QUEUE_SECONDS * 1000,
    )
    async with batcher.running(virtual.SAMPLE):
        model.is_serving = True
        inside: dict[int, float] = {}
        outcomes = await asyncio.gather(
            *(_call(number, plan, batcher, model, inside) for number, plan in enumerate(plans))
        )
        await asyncio.sleep(1)  # for what still ran when its caller left
        assert batcher.backlog_ms == 0
        return outcomes


def _drawn(draw: random.Random) -> tuple[list[Plan], int, dict[int, float]]:
    """Draw a schedule: mostly a busy spell, in which some leave, some are late and some are poison."""

    def maybe(share: float, most: float) -> float | None:
        return draw.uniform(0.001, most) if draw.random() < share else None

    plans = [
        Plan(
            at=draw.uniform(0, 0.25),
            tokens=[draw.randint(1, 200) for _ in range(draw.choice((1, 1, 1, 2, 3, 6, 16)))],
            budget=maybe(0.3, 0.5),
            leaves_after=maybe(0.25, 0.2),
            poisonous=0 if draw.random() < 0.05 else None,
        )
        for _ in range(draw.randint(1, 36))
    ]
    stalls = {draw.randint(1, 20): draw.uniform(0.01, 0.3)} if draw.random() < 0.3 else {}
    return plans, draw.randint(1, 16), stalls


def test_a_thousand_drawn_schedules():
    kinds: Counter[str] = Counter()
    for seed in range(1000):
        for outcome in _play(*_drawn(random.Random(seed)), f"seed {seed}"):
            kinds[type(outcome.result).__name__] += 1
    # Nothing of what may happen to a caller was left out.
    assert min(kinds[kind] for kind in ("list", "NoneType", "Overloaded", "Poisoned")) > 500
    assert kinds["DeadlineExceeded"] > 100


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(plans=Plans, max_items=st.integers(1, 16), stalls=Stalls)
def test_whatever_comes_when(plans: list[Plan], max_items: int, stalls: dict[int, float]):
    _play(plans, max_items, stalls, "found by search")


def _play(plans: list[Plan], max_items: int, stalls: dict[int, float], name: str) -> list[Outcome]:
    """Play a schedule, check all promises, and return what became of each caller."""
    model = Model(stalls=stalls)
    outcomes = virtual.play(lambda: _everyone(model, plans, max_items))
    try:
        for number, outcome in enumerate(outcomes):
            _gets_its_own_answers_or_the_right_error(number, outcome)
            _was_refused_only_from_a_full_queue(outcome)
        _nothing_is_computed_in_vain(model, outcomes)
        _batches_keep_their_limits(model, max_items)
    except AssertionError as error:
        error.add_note(f"schedule: {name}")
        raise
    return outcomes


def _was_refused_only_from_a_full_queue(outcome: Outcome) -> None:
    """Nobody is admitted to a queue over its bound; nobody is refused below who has no deadline."""
    is_refused = isinstance(outcome.result, Overloaded)
    if not is_refused:
        assert outcome.counted_before <= QUEUE_SECONDS + 1e-9
    elif outcome.plan.budget is None:
        assert outcome.at_most_before > ROOM * QUEUE_SECONDS - LONGEST_BATCH


def _gets_its_own_answers_or_the_right_error(number: int, outcome: Outcome) -> None:
    plan, result = outcome.plan, outcome.result
    if outcome.left_at < float("inf"):
        assert result is None
    elif isinstance(result, Overloaded):
        assert result.retry_after_seconds > 0
    elif isinstance(result, DeadlineExceeded):
        assert plan.budget is not None
    elif isinstance(result, Poisoned):
        assert plan.poisonous is not None
    elif isinstance(result, NotReady):
        raise AssertionError(result)
    else:
        assert plan.poisonous is None
        expected = [
            (Text(number, place, tokens), "answer") for place, tokens in enumerate(plan.tokens)
        ]
        assert result == expected


def _nothing_is_computed_in_vain(model: Model, outcomes: list[Outcome]) -> None:
    answered: set[Text] = set()
    for run in model.runs:
        is_poisonous = any(text.is_poison for text in run.batch)
        for text in run.batch:
            if text.caller < 0:
                continue  # the canary
            outcome = outcomes[text.caller]
            assert run.at <= outcome.left_at, "its caller had left"
            assert run.at < outcome.late_at, "its time was up"
            assert not isinstance(outcome.result, Overloaded), "it was refused"
            assert text not in answered, "it had its answer already"
            if not is_poisonous:
                answered.add(text)


def _batches_keep_their_limits(model: Model, max_items: int) -> None:
    worth_a_batch = model.per_batch / model.per_token
    seen: set[Text] = set()
    for run in model.runs:
        assert len(run.batch) <= max_items
        assert len(run.batch) == 1 or run.padded <= MAX_TOKENS
        if seen.isdisjoint(run.batch):  # not a half of a batch that failed
            longest = max(text.tokens for text in run.batch)  # those who were late left it early
            most = min(MAX_TOKENS, max_items * longest)
            assert run.padding <= 1.1 * max(worth_a_batch, PADDING * most)
        seen.update(run.batch)


@settings(max_examples=100, deadline=None)
@given(
    size=st.integers(1, 32),
    poisonous=st.sets(st.integers(0, 31), min_size=1, max_size=3),
)
def test_each_poisonous_input_costs_a_logarithm_of_extra_runs(size: int, poisonous: set[int]):
    model = Model()

    async def story() -> list[Any]:
        batcher = virtual.batcher(model)
        async with batcher.running(virtual.SAMPLE):
            model.is_serving = True
            calls = [batcher.submit(Text(n, 0, 8, n in poisonous)) for n in range(size)]
            return await asyncio.gather(*calls, return_exceptions=True)

    answers = virtual.play(story)
    failed = {number for number, answer in enumerate(answers) if isinstance(answer, Poisoned)}
    assert failed == {number for number in poisonous if number < size}
    extra = len(model.runs) - 1
    depth = (size - 1).bit_length()
    assert extra <= (1 if failed else 0) + 2 * depth * len(failed)  # one run asks the canary
