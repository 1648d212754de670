"""What an open page remembers, also of wishes that run side by side."""

import pytest

from services.console.painting import Painting
from services.console.panels.session import MOST_TURNS, Session, Shown, for_browser
from services.console.schemas import Turn, Wish


def turn(name: str, **fields: object) -> Turn:
    return Turn.model_validate({"id": name, "text": name} | fields)


def test_a_wish_that_ends_first_does_not_lose_the_one_before():
    session = Session()
    session.moved(turn("picture"), Painting(at=0.0))
    session.moved(turn("short"), None)
    for name in ("short", "picture"):
        del session.on_their_way[name]
        session.completed(turn(name), Shown())
    assert [kept.id for kept in session.turns] == ["short", "picture"]


def test_a_turn_changes_when_more_of_it_is_known_and_not_with_each_step():
    session = Session()
    assert session.moved(turn("a"), Painting(at=0.0))
    assert not session.moved(turn("a"), Painting(at=0.0, step=1))
    assert session.moved(turn("a", said="hello"), None)


def test_the_browsers_memory_is_taken_up_once():
    session = Session()
    session.recall(for_browser([turn("old")]))
    session.completed(turn("new"), Shown())
    session.recall(for_browser([turn("old")]))
    assert [kept.id for kept in session.turns] == ["old", "new"]


def test_a_corrected_wish_keeps_its_pictures_and_leaves_its_place():
    session = Session(turns=[turn("a"), turn("b")])
    session.wishes["a"] = Wish(text="mix them", pictures=["AAAA"])
    assert session.withdrawn("a") == Wish(text="mix them", pictures=["AAAA"])
    assert [kept.id for kept in session.turns] == ["b"]
    assert session.withdrawn("unknown") is None


def test_after_a_reload_a_wish_is_what_the_browser_kept_of_it():
    session = Session(turns=[turn("a", context="a text", collection="house")])
    assert session.withdrawn("a") == Wish(text="a", context="a text", collection="house")


def test_the_conversation_is_bounded_and_so_is_what_belongs_to_it():
    session = Session()
    for number in range(MOST_TURNS + 5):
        name = str(number)
        session.wishes[name] = Wish(text=name)
        session.completed(turn(name), Shown())
    assert len(session.turns) == len(session.wishes) == MOST_TURNS
    assert session.turns[-1].id == str(MOST_TURNS + 4)


@pytest.mark.parametrize(("collection", "conversation"), [("house", "c2"), ("other", None)])
def test_a_question_goes_on_with_the_last_conversation_of_its_collection(
    collection: str, conversation: str | None
):
    turns = [turn(name, collection="house", conversation_id=name) for name in ("c1", "c2")]
    assert Session(turns=turns).asked_before(collection) == conversation
