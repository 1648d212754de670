"""Chunks are exact pieces of the text and lose nothing that can be seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rag.chunking import WORD, around, chunks, sentences

PIECES = st.sampled_from(
    [
        "A b c. ",
        "Dr. Who? ",
        "¿Qué? ",
        "т. е. Да! ",
        "\n\n",
        "\n",
        "# T\n",
        "- item\n",
        "🐈",
        "x" * 50,
    ]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES, max_size=80).map("".join))


@given(TEXTS, st.integers(1, 30))
def test_chunks_follow_each_other_and_cover_every_visible_character(text, max_words):
    spans = chunks(text, max_words)
    ends = [0, *(span.end for span in spans)]
    starts = [*(span.start for span in spans), len(text)]
    gaps = [text[end:start] for end, start in zip(ends, starts, strict=True)]
    assert all(end <= start for end, start in zip(ends, starts, strict=True))
    assert not "".join(gaps).strip()


@given(TEXTS, st.integers(1, 30))
def test_no_chunk_is_longer_than_allowed_or_empty(text, max_words):
    for span in chunks(text, max_words):
        assert 0 < len(WORD.findall(text, span.start, span.end)) <= max_words


@given(TEXTS)
def test_sentences_cover_every_visible_character(text):
    joined = "".join(text[span.start : span.end] for span in sentences(text))
    assert "".join(joined.split()) == "".join(text.split())


SPLIT = [
    ("Dr. Smith came. He left at 5 p.m. on Monday.", 2),
    ("La Sra. Gómez vive en la calle Mayor, núm. 5. ¿Vive sola? ¡Sí!", 3),
    ("Встреча в 1990 г. прошла в г. Москва, т. е. давно. А. С. Пушкин был там.", 2),
    ('He said "Stop!" and ran. Why? Nobody knows…', 3),
    ("Version 3.5 is out. 40 people use it.", 2),
    ("Steps:\n- Open the lid\n- Press the button", 3),
]


@pytest.mark.parametrize(("text", "count"), SPLIT)
def test_sentences_end_where_a_reader_ends_them(text, count):
    assert len(sentences(text)) == count, [text[one.start : one.end] for one in sentences(text)]


def test_a_heading_starts_a_chunk_and_stays_with_its_text():
    text = "Intro.\n\n# One\n\nFirst.\n\n## Two\n\nSecond."
    cut = [text[span.start : span.end] for span in chunks(text, 100)]
    assert cut == ["Intro.", "# One\n\nFirst.", "## Two\n\nSecond."]


def test_a_span_is_widened_to_whole_sentences():
    text = "One is here. Two is there. Three."
    place = around(text, text.index("here"), text.index("Two") + 2)
    assert text[place.start : place.end] == "One is here. Two is there."


@pytest.mark.parametrize("text", [". " * 100_000, " \n" * 100_000, "." * 200_000, "a" * 200_000])
def test_odd_texts_take_no_longer_than_others(text):
    assert sum(span.end - span.start for span in chunks(text, 100)) <= len(text)
