"""Questions and paragraphs as token rows, and logits back as answer spans."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.qa.data import Example

CLS, SEP = 101, 102
MAX_QUESTION_TOKENS = 64
MAX_ANSWER_TOKENS = 48  # transliterated Russian takes about three tokens per word


@dataclass(frozen=True)
class Encoded:
    """An example in tokens; `offsets` count characters of the context, `spans` tokens of it (both ends inside)."""

    question: list[int]
    context: list[int]
    offsets: list[tuple[int, int]]
    spans: list[tuple[int, int]]


@dataclass(frozen=True)
class Window:
    """One model input `[CLS] question [SEP] part of the context [SEP]`.

    `first` is the row position of the part's first token, `start` its number in the context. `target` are row positions;
    (0, 0), the [CLS] token, says that the part holds no answer.
    """

    ids: list[int]
    first: int
    start: int
    target: tuple[int, int] = (0, 0)

    @property
    def types(self) -> list[int]:
        """Segment numbers: 0 for the question, 1 for the context."""
        return [0] * self.first + [1] * (len(self.ids) - self.first)


def encode(tokenizer: Tokenizer, examples: Sequence[Example]) -> list[Encoded]:
    """Tokenize questions and contexts; answers become token spans."""
    questions = tokenizer.encode_batch([e.question for e in examples], add_special_tokens=False)
    contexts = {e.context for e in examples}
    parts = tokenizer.encode_batch(list(contexts), add_special_tokens=False)
    by_text = {text: (part.ids, part.offsets) for text, part in zip(contexts, parts, strict=True)}
    return [
        Encoded(
            question.ids[:MAX_QUESTION_TOKENS],
            *by_text[example.context],
            _spans(example, by_text[example.context][1]),
        )
        for example, question in zip(examples, questions, strict=True)
    ]


def _spans(example: Example, offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    starts, ends = np.array(offsets).T if offsets else (np.zeros(0), np.zeros(0))
    spans = []
    for text, begin in example.answers:
        inside = np.flatnonzero((ends > begin) & (starts < begin + len(text)))
        if len(inside):
            spans.append((int(inside[0]), int(inside[-1])))
    return spans


def training_window(row: Encoded, max_length: int, draw: random.Random) -> Window:
    """Cut a random window of the context around one of the answers; without an answer, anywhere."""
    room = max_length - len(row.question) - 3
    last = max(0, len(row.context) - room)
    if not row.spans:
        return window(row, draw.randint(0, last), room)
    begin, end = draw.choice(row.spans)
    low = min(max(0, end + 1 - room), begin)
    start = draw.randint(min(low, last), min(begin, last))
    return window(row, start, room, (begin, end))


def window(row: Encoded, start: int, room: int, answer: tuple[int, int] | None = None) -> Window:
    """Build the window of `room` context tokens from `start`; an answer that sticks out does not count."""
    first = len(row.question) + 2
    part = row.context[start : start + room]
    ids = [CLS, *row.question, SEP, *part, SEP]
    if answer is None or answer[0] < start or answer[1] >= start + len(part):
        return Window(ids, first, start)
    return Window(ids, first, start, (answer[0] - start + first, answer[1] - start + first))


def windows(row: Encoded, max_length: int, overlap: int) -> list[Window]:
    """Cover the whole context with windows that share `overlap` tokens."""
    room = max_length - len(row.question) - 3
    starts = range(0, max(1, len(row.context) - overlap), room - overlap)
    return [window(row, start, room) for start in starts]


def best_span(
    logits: NDArray[np.float32], part: Window, max_tokens: int = MAX_ANSWER_TOKENS
) -> tuple[float, int, int]:
    """Return the best span of one window as (score, first token, last token) in context tokens.

    `logits` are (tokens, 2). The score is start + end minus the same of [CLS]: log odds against "no answer here", which
    makes windows comparable.
    """
    inside = logits[part.first : len(part.ids) - 1]
    sums = inside[:, 0][:, None] + inside[:, 1][None, :]
    allowed = np.triu(np.ones_like(sums, dtype=bool)) & ~np.triu(
        np.ones_like(sums, dtype=bool), max_tokens
    )
    flat = int(np.where(allowed, sums, -np.inf).argmax())
    begin, end = divmod(flat, len(inside))
    return float(sums[begin, end] - logits[0].sum()), begin + part.start, end + part.start
