"""Three languages are told apart and stemmed, also in one text."""

import pytest

from services.rag.followups import by_rule
from services.rag.language import candidates, detect, points_back, stems

KNOWN = [
    ("Where is the office?", "en"),
    ("¿Dónde está la oficina?", "es"),
    ("cuando abren los lunes", "es"),
    ("Где находится офис?", "ru"),
    ("API", "en"),
    ("", "en"),
    ("Сервис Switchboard", "ru"),
]


@pytest.mark.parametrize(("text", "language"), KNOWN)
def test_a_language_is_recognised(text, language):
    assert detect(text) == language


def test_a_query_that_could_be_either_is_searched_as_both():
    assert candidates("hospital") == ["en", "es"]
    assert candidates("больница") == ["ru"]


def test_stop_words_are_left_out_and_forms_of_a_word_are_one():
    assert stems("The refunds are refunded", ["en"]) == ["refund", "refund"]
    assert stems("Отчёты об отчете", ["ru"]) == ["отчет", "отчет"]


def test_cyrillic_words_are_russian_in_any_text():
    assert stems("Ask about возвратах", ["en"]) == ["ask", "возврат"]


FOLLOW_UPS = [
    ("How much does it cost?", True),
    ("And on Sundays?", True),
    ("¿Y eso cuánto cuesta al mes?", True),
    ("А там есть парковка для посетителей?", True),
    ("Почему?", True),
    ("How many vacation days do new employees get?", False),
    ("¿Cuántos días de vacaciones tienen los empleados?", False),
    ("Сколько дней отпуска получают новые сотрудники?", False),
]


@pytest.mark.parametrize(("question", "leans"), FOLLOW_UPS)
def test_a_question_that_leans_on_the_one_before_is_recognised(question, leans):
    before = "What does parking at the clinic cost?"
    assert by_rule(question, [before]) == (f"{before} {question}" if leans else question)
    assert by_rule(question, []) == question


def test_a_follow_up_of_a_follow_up_leans_on_all_before_it():
    asked = ["Do you refund an order from abroad?", "How long does it take?"]
    assert by_rule("And shipping?", asked) == " ".join([*asked, "And shipping?"])
    assert by_rule("And shipping?", ["Is the shop in Lima open on Sunday?", *asked]) == " ".join(
        [*asked, "And shipping?"]
    )


def test_pointing_words_are_looked_for_in_the_language_of_the_question():
    assert points_back("Is it open?")
    assert not points_back("Is the shop open?")
