"""Texts are cut where it costs least: short ones at once, long ones beside the event loop."""

import threading
from collections.abc import Sequence

import pytest

from kit.text import INLINE_CHARS, tokenized


def where(_texts: Sequence[str | Sequence[str]]) -> int:
    return threading.get_ident()


@pytest.mark.parametrize(
    ("texts", "is_here"),
    [
        (["short"], True),
        ([("a question", "a text")], True),
        (["x" * (INLINE_CHARS + 1)], False),
        (["x" * 50] * INLINE_CHARS, False),
        ([("a question", "x" * INLINE_CHARS)], False),
    ],
)
async def test_long_texts_do_not_hold_up_the_event_loop(
    texts: list[str | Sequence[str]], is_here: bool
):
    assert (await tokenized(where, texts) == threading.get_ident()) is is_here
