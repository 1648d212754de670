"""Chunks are exact pieces of the text and lose nothing that can be seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rag.chunking import WORD, around, chunks, count_words, cut, sentences
from services.rag.schemas import Chunking

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
        "👩‍👩‍👧",
        "e\u0301 й ",
        "«Да.» ",
        "А. С. Пушкин ",
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
    ("Он крикнул: «Стой!» Никто не ответил. «Что это?» — спросил он.", 3),
    ("«Привет.» Он ушёл.", 2),
    ("J. R. R. Tolkien wrote it. The U.S. Army read it.", 2),
    ("Цена 3,5 руб. за штуку. Скидка 10 %.", 2),
    ("В 2020 г. Иванов И. И. уехал. Рост составил 1,2 млн. руб. за год.", 2),
    ("Хлеб, соль и т. д. Потом пришёл он.", 2),
    ("Vive en EE. UU. desde 2001. D. Juan no.", 2),
    ("Es decir, p. ej. Madrid. Así es.", 2),
    ("«¿Vienes?» Élmer no contestó.", 2),
    ("It costs $1.50. No. 7 is sold out. He said no. Then he left.", 4),
    ("See fig. 3 and Smith et al. 2020. Then stop.", 2),
    ("They sell apples, pears, etc. Then they close.", 2),
    ("She is older than I. He left.", 2),
    ("1. First point. 2. Second point.", 2),
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


MODES = st.builds(
    Chunking,
    mode=st.sampled_from(["document", "paragraph", "sentence", "window", "recursive"]),
    max_words=st.integers(10, 40) | st.none(),
    paragraphs=st.integers(1, 5),
    step=st.integers(1, 6),
)


@given(TEXTS, MODES)
def test_every_mode_covers_every_visible_character_in_order(text, chunking):
    spans = cut(text, chunking, default_words=20)
    covered: set[int] = set()
    for span in spans:
        assert text[span.start : span.end].strip() == text[span.start : span.end] != ""
        covered.update(range(span.start, span.end))
    assert [span.start for span in spans] == sorted(span.start for span in spans)
    assert all(char.isspace() for place, char in enumerate(text) if place not in covered)


@given(TEXTS, MODES)
def test_no_mode_makes_a_chunk_longer_than_allowed(text, chunking):
    room = chunking.max_words or {"recursive": 20, "document": 10_000}.get(chunking.mode, 400)
    for span in cut(text, chunking, default_words=20):
        assert count_words(text[span.start : span.end]) <= room


@given(TEXTS, st.integers(32, 60))
def test_a_budget_of_tokens_holds_as_the_embedder_counts(text, room):
    spans = cut(text, Chunking(max_tokens=room), default_words=20, count_tokens=_tokens)
    assert all(_tokens(text[span.start : span.end]) <= room for span in spans)


def _tokens(text: str) -> int:
    """Count three letters as one token, as tokenizers do on average."""
    return sum(-(-len(word) // 3) for word in WORD.findall(text))


ARTICLE = "# One\n\nA first. And more.\n\nA second.\n\n# Two\n\nA third.\n\nA fourth."
CUTS = [
    (Chunking(mode="document"), [ARTICLE]),
    (
        Chunking(mode="paragraph"),
        ["# One\n\nA first. And more.", "A second.", "# Two\n\nA third.", "A fourth."],
    ),
    (
        Chunking(mode="sentence"),
        ["# One", "A first.", "And more.", "A second.", "# Two", "A third.", "A fourth."],
    ),
    (
        Chunking(mode="window", paragraphs=2, step=1),
        [
            "# One\n\nA first. And more.\n\nA second.",
            "A second.\n\n# Two\n\nA third.",
            "# Two\n\nA third.\n\nA fourth.",
        ],
    ),
    (
        Chunking(mode="window", paragraphs=2, step=2),
        ["# One\n\nA first. And more.\n\nA second.", "# Two\n\nA third.\n\nA fourth."],
    ),
    (
        Chunking(),
        ["# One\n\nA first. And more.\n\nA second.", "# Two\n\nA third.\n\nA fourth."],
    ),
]


@pytest.mark.parametrize(("chunking", "expected"), CUTS)
def test_each_mode_cuts_as_its_name_says(chunking, expected):
    spans = cut(ARTICLE, chunking, default_words=100)
    assert [ARTICLE[span.start : span.end] for span in spans] == expected


def test_in_windows_too_large_for_the_budget_no_paragraph_is_left_out():
    text = "\n\n".join(f"Paragraph {n} has some seven words here." for n in range(6))
    spans = cut(text, Chunking(mode="window", max_words=10, paragraphs=4, step=4), default_words=9)
    assert [text[one.start : one.end] for one in spans] == text.split("\n\n")
