"""What the page shows: everything that comes from outside is text, never markup."""

import pytest

from services.console import cards
from services.console.painting import Painting
from services.console.schemas import Citation, Passage, Picture, Score, Turn, Understood
from services.console.texts import LANGUAGES

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
UNDERSTOOD = Understood(intent="ask", confidence=0.9, language="en")


def turn(**fields: object) -> Turn:
    return Turn.model_validate({"id": "t", "text": "wish", "understood": UNDERSTOOD} | fields)


def of(intent: str) -> Understood:
    return UNDERSTOOD.model_copy(update={"intent": intent})


def test_nothing_from_outside_becomes_markup():
    citation = Citation(document_id=EVIL, title=EVIL, text=EVIL, start=0, end=1, score=0.5)
    evil = turn(
        text=EVIL,
        problem=EVIL,
        said=EVIL,
        warnings=[EVIL],
        labels=[EVIL],
        scores=[Score(label=EVIL, score=0.5)],
        passage=Passage(before=EVIL, text=EVIL, after=EVIL),
        citations=[citation],
        conversation_id=EVIL,
    )
    document = {"title": EVIL, "text": EVIL}
    state = {"name": EVIL, "ready": False, "reason": EVIL}
    row = {"id": EVIL, "status": "failed", "error": EVIL}
    shown = [
        cards.conversation([evil], {}, "en"),
        cards.source(document, 0, 5, "en"),
        cards.services([state], "en"),
        cards.documents([row], "en"),
        cards.note(EVIL),
        cards.paintings([Painting(at=0.0, preview=EVIL)], "en"),
    ]
    for html in shown:
        assert "<script" not in html
        assert "<img src=x" not in html


def test_a_preview_is_an_embedded_picture_or_nothing():
    html = cards.paintings([Painting(at=0.0, preview="https://elsewhere.example/x.png")], "en")
    assert "elsewhere" not in html


def test_only_the_newest_wish_can_be_corrected():
    html = cards.conversation([turn(text="old"), turn(text="new")], {}, "en")
    assert html.index(">new<") < html.index(">old<")
    assert html.count('class="correct"') == 1


def test_the_bars_show_what_stands_out():
    classified = turn(
        understood=of("classify"),
        labels=["joy"],
        scores=[Score(label="joy", score=0.994), Score(label="fear", score=0.0004)],
    )
    html = cards.conversation([classified], {}, "en")
    assert 'class="chosen"' in html
    assert "99 %" in html
    assert "&lt; 1 %" in html


def test_a_picture_that_is_no_longer_kept_says_so():
    picture = Picture(url="/v1/images/a/pictures/0", seed=7, width=8, height=8)
    painted = turn(understood=of("draw"), pictures=[picture])
    assert "no longer kept" in cards.conversation([painted], {}, "en")
    shown = cards.conversation([painted], {picture.url: "data:image/webp;base64,AA"}, "en")
    assert "data:image/webp" in shown


def test_a_source_marks_the_cited_characters_and_no_other():
    html = cards.source({"title": "T", "text": "one two three"}, 4, 7, "en")
    assert "one <mark>two</mark> three" in html


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_card_speaks_every_language(language: str):
    painting = Painting(at=0.0, status="waiting", place=1, steps=4)
    rows = [{"id": "a", "status": status} for status in ("waiting", "ready", "failed")]
    assert cards.conversation([], {}, language)
    assert cards.paintings([painting], language)
    assert cards.documents(rows, language)
