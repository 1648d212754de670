"""From the scores of windows to passages of the context: whole words, distinct, comparable."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

JOINER = "\u200d"  # joins emoji into one picture
# Scripts without spaces: one sign is a word here, as it is for the tokenizers.
WORDS_WITHOUT_SPACES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # kana
    (0x3400, 0x9FFF),  # Chinese characters
    (0xF900, 0xFAFF),
    (0x20000, 0x323AF),
)


@dataclass(frozen=True)
class Span:
    """Characters `start` to `end` of the context; log odds against "no answer in this window"."""

    start: int
    end: int
    log_odds: float


@dataclass(frozen=True)
class WindowSpans:
    """What one window says: its best spans, and the log odds of all its spans together."""

    best: Sequence[Span]
    log_odds: float


def best_spans(
    start: NDArray[np.float32],
    end: NDArray[np.float32],
    offsets: Sequence[tuple[int, int]],
    *,
    first: int,
    longest: int,
    count: int,
    threshold: float = 0.0,
) -> WindowSpans:
    """Find the best spans that do not overlap among the tokens `first` and later of a window.

    `start` and `end` are the window's logits (tokens,), token 0 standing for "no answer here", which
    makes windows comparable; `threshold` is added to it. `offsets` are the characters of the tokens
    from `first` on; a span has at most `longest` tokens.
    """
    size = len(offsets)
    if not size:
        return WindowSpans([], -np.inf)
    no_answer = float(start[0] + end[0]) + threshold
    # Row i, column k: the span of tokens i to i + k.
    padded = np.concatenate([end[first : first + size], np.full(longest, -np.inf, np.float32)])
    ends = np.lib.stride_tricks.sliding_window_view(padded, longest)[:size]
    scores = start[first : first + size, None] + ends - no_answer
    total = log_sum(scores)
    spans = []
    for _ in range(count):
        i, k = divmod(int(scores.argmax()), longest)
        if not np.isfinite(scores[i, k]):
            break
        spans.append(Span(offsets[i][0], offsets[i + k][1], float(scores[i, k])))
        _forbid(scores, i, i + k)
    return WindowSpans(spans, total)


def _forbid(scores: NDArray[np.float32], first: int, last: int) -> None:
    """Strike out every span that shares a token with `first` to `last`."""
    scores[first : last + 1] = -np.inf
    longest = scores.shape[1]
    for i in range(max(0, first - longest + 1), first):
        scores[i, first - i :] = -np.inf


def log_sum(scores: NDArray[np.float32]) -> float:
    """Return log(sum(exp(scores))) without overflow."""
    top = float(scores.max())
    return top + float(np.log(np.exp(scores - top).sum())) if np.isfinite(top) else top


def distinct(spans: Iterable[Span], context: str, count: int) -> list[Span]:
    """Widen spans to whole words and return the best `count` that do not overlap.

    Only chosen spans are widened, so a context that is one long word costs no more than another:
    what does not overlap a range of whole words does not overlap it when widened either.
    """
    chosen: list[Span] = []
    for span in sorted(spans, key=lambda span: -span.log_odds):
        if any(span.start < other.end and other.start < span.end for other in chosen):
            continue
        start, end = whole_words(context, span.start, span.end)
        if start < end:
            chosen.append(Span(start, end, span.log_odds))
        if len(chosen) == count:
            break
    return chosen


def whole_words(context: str, start: int, end: int) -> tuple[int, int]:
    """Widen a range until it cuts no word, no accent and no joined emoji, and trim its spaces.

    A range outside the context is clamped; one without a visible character comes back empty.
    """
    start = min(max(start, 0), len(context))
    end = min(max(end, start), len(context))
    while start < end and context[start].isspace():
        start += 1
    while end > start and context[end - 1].isspace():
        end -= 1
    if start == end:
        return start, start
    while start > 0 and _are_joined(context[start - 1], context[start]):
        start -= 1
    while end < len(context) and _are_joined(context[end - 1], context[end]):
        end += 1
    return start, end


def _are_joined(left: str, right: str) -> bool:
    if unicodedata.category(right).startswith("M") or JOINER in (left, right):
        return not left.isspace()
    if "\U0001f3fb" <= right <= "\U0001f3ff":  # a skin tone belongs to the emoji before it
        return True
    return _is_of_word(left) and _is_of_word(right)


def _is_of_word(character: str) -> bool:
    if unicodedata.category(character).startswith("M"):
        return True  # a letter with its accent written apart
    code = ord(character)
    flag = 0x1F1E6 <= code <= 0x1F1FF  # a flag is two letters of this alphabet
    spaced = not any(first <= code <= last for first, last in WORDS_WITHOUT_SPACES)
    return flag or (character.isalnum() and spaced)
