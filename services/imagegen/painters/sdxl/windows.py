"""Texts of any length as windows of token ids, each as long as a text encoder reads."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

BACKTRACK = 20 / 75  # of a window may stay empty so that no tag is cut apart
EMPHASIS = re.compile(r"(?<!\\)\(((?:\\.|[^()\\])+):(\d+\.?\d*|\.\d+)\)")
ESCAPED = re.compile(r"\\([()])")
MOST_EMPHASIS = 3.0  # more is noise, and overflows in float16


@dataclass(frozen=True)
class Window:
    """Token ids with their beginning, end and padding, and the emphasis of each."""

    ids: Sequence[int]
    emphasis: Sequence[float]


def windows(tokenizer: Any, text: str) -> list[Window]:
    """Return a text's windows; each has its own beginning and end, as the usual tools do it."""
    size = tokenizer.model_max_length
    ids: list[int] = []
    emphasis: list[float] = []
    for words, weight in emphasised(text):
        more = tokenizer(words, add_special_tokens=False).input_ids
        ids += more
        emphasis += [weight] * len(more)
    comma = tokenizer.convert_tokens_to_ids(",</w>")
    begin, end, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    found = []
    for part in split(ids, size - 2, comma):
        free = size - 2 - len(part)
        found.append(
            Window(
                [begin, *part, end, *[pad] * free],
                [1.0, *emphasis[: len(part)], *[1.0] * (free + 1)],
            )
        )
        emphasis = emphasis[len(part) :]
    return found


def emphasised(text: str) -> Iterator[tuple[str, float]]:
    """Split `a (red:1.3) circle` into words and their weights; other parentheses are just words."""
    start = 0
    for found in EMPHASIS.finditer(text):
        yield ESCAPED.sub(r"\1", text[start : found.start()]), 1.0
        yield ESCAPED.sub(r"\1", found[1]), min(float(found[2]), MOST_EMPHASIS)
        start = found.end()
    yield ESCAPED.sub(r"\1", text[start:]), 1.0


def split(ids: Sequence[int], room: int, comma: int) -> Iterator[Sequence[int]]:
    """Cut token ids into parts of at most `room`, behind a comma where one is near."""
    while len(ids) > room:
        near = range(room, room - round(room * BACKTRACK), -1)
        cut = next((place for place in near if ids[place - 1] == comma), room)
        yield ids[:cut]
        ids = ids[cut:]
    yield ids
