"""Properties of spans: exact offsets, whole words, distinct answers, honest probabilities."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Encoding

from services.qa.model import Reader, answers
from services.qa.spans import Span, WindowSpans, best_spans, distinct, whole_words
from tests.text_models import FakeText, Output

PIECES = st.sampled_from(
    [
        "e\u0301",
        "й",
        "и\u0306",
        "ё",
        "щука",
        "объезд",
        "Ünï",
        "ﬁn",
        "İ",
        "ß",
        "👩‍👩‍👧",
        "👍🏽",
        "🇺🇦",
        "❤️",
    ]
    + [
        "東京",
        "สวัสดี",
        "नमस्ते",
        "한국",
        "\u200b",
        "\u0000",
        "\ufeff",
        "\n",
        "  ",
        "1.5",
        "don't",
        "word",
        ".",
    ]
)
CONTEXTS = st.lists(st.one_of(PIECES, st.text(max_size=8)), min_size=1, max_size=60).map("".join)


class Dice:
    """A network that scores at random, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def __call__(self, windows: Sequence[Encoding]) -> Output:
        shape = (len(windows), max(map(len, windows)))
        draw = self.random.normal(0, 4, (2, *shape)).astype(np.float32)
        return {"start_logits": draw[0], "end_logits": draw[1]}


@settings(max_examples=300, deadline=None)
@given(context=CONTEXTS, seed=st.integers(0, 2**32), count=st.integers(1, 10))
def test_answers_are_exact_distinct_whole_and_share_one_probability(
    context: str, seed: int, count: int
):
    reader = Reader(FakeText(Dice(seed), max_length=64), overlap=8)
    read = reader.read(reader.windows("Кто это?", context))
    found, no_answer = answers(read, context, count)
    assert len(found) <= count
    for span, score in found:
        text = context[span.start : span.end]
        assert text
        assert text == text.strip()
        assert 0 <= score <= 1
        assert whole_words(context, span.start, span.end) == (span.start, span.end)
    inorder = sorted((span.start, span.end) for span, _ in found)
    assert all(left[1] <= right[0] for left, right in pairwise(inorder))
    assert sum(score for _, score in found) + no_answer <= 1 + 1e-5


@settings(max_examples=300)
@given(context=CONTEXTS, start=st.integers(-5, 200), end=st.integers(-5, 400))
def test_any_range_is_clamped_to_the_context(context: str, start: int, end: int):
    first, last = whole_words(context, start, end)
    assert 0 <= first <= last <= len(context)


@pytest.mark.parametrize(
    ("context", "part", "whole"),
    [
        ("It was Newton's.", "ewto", "Newton"),
        ("cafe\u0301 noir", "caf", "cafe\u0301"),
        ("мой соловьи\u0306 поёт", "соловьи", "соловьи\u0306"),
        ("a 👩‍👩‍👧 family", "👩", "👩‍👩‍👧"),
        ("nice 👍🏽 work", "👍", "👍🏽"),
        ("from 🇺🇦 here", "🇺", "🇺🇦"),
        ("я ❤️ тебя", "❤", "❤️"),
        ("konь стоит", "kon", "konь"),
        ("東京都に住む", "東京", "東京"),
        ("in 1914-1918", "1914", "1914"),
        ("the  end ", "  end ", "end"),
    ],
)
def test_a_range_grows_to_whole_words(context: str, part: str, whole: str):
    start = context.index(part)
    first, last = whole_words(context, start, start + len(part))
    assert context[first:last] == whole


def test_a_range_without_a_visible_character_is_empty():
    first, last = whole_words("a   b", 1, 4)
    assert first == last


def brute_force(
    start: np.ndarray, end: np.ndarray, first: int, longest: int
) -> dict[tuple[int, int], float]:
    return {
        (i, j): float(start[i] + end[j])
        for i in range(first, len(start))
        for j in range(i, min(i + longest, len(end)))
    }


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32), size=st.integers(1, 20), longest=st.integers(1, 6))
def test_the_best_span_and_the_mass_are_those_of_a_plain_search(seed: int, size: int, longest: int):
    first = 3
    random = np.random.default_rng(seed)
    start, end = random.normal(0, 3, (2, first + size)).astype(np.float32)
    offsets = [(i, i + 1) for i in range(size)]
    every = brute_force(start, end, first, longest)
    found = best_spans(start, end, offsets, first=first, longest=longest, count=10)
    i, j = max(every, key=lambda span: every[span])
    assert (found.best[0].start, found.best[0].end) == (i - first, j - first + 1)
    no_answer = start[0] + end[0]
    together = np.logaddexp.reduce(list(every.values()))
    assert found.log_odds == pytest.approx(together - no_answer, abs=1e-4)
    assert found.best[0].log_odds == pytest.approx(every[i, j] - no_answer, abs=1e-4)
    taken = [at for span in found.best for at in range(span.start, span.end)]
    assert len(taken) == len(set(taken))


def test_the_better_of_two_overlapping_passages_wins():
    spans = [Span(0, 3, 1.0), Span(0, 7, 2.0), Span(8, 12, 0.5)]
    found = distinct(spans, "one two four", 5)
    assert [(span.start, span.end) for span in found] == [(0, 7), (8, 12)]


def test_a_context_that_is_one_long_word_is_widened_once():
    spans = [Span(at, at + 5, -at) for at in range(0, 200_000, 100)]
    (found,) = distinct(spans, "x" * 200_000, 10)  # minutes, if each span were widened
    assert (found.start, found.end) == (0, 200_000)


def test_windows_that_say_no_do_not_drown_the_one_that_knows():
    sure = WindowSpans([Span(0, 3, 5.0)], 5.0)
    elsewhere = WindowSpans([Span(4, 7, -9.0)], -9.0)
    found, no_answer = answers([sure, *[elsewhere] * 20], "one two", 1)
    assert found[0][1] > 0.9
    assert no_answer < 0.1


def test_the_models_own_threshold_decides_between_an_answer_and_none():
    start = np.array([0.0, 1.0], dtype=np.float32)
    low, high = (
        best_spans(start, start, [(0, 3)], first=1, longest=4, count=1, threshold=threshold)
        for threshold in (1.9, 2.1)
    )
    assert low.best[0].log_odds > 0 > high.best[0].log_odds
