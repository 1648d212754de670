"""A sentence is the answer when it speaks of the question, qa sees an answer in it, and no other does."""

import pytest

from services.rag import evidence
from services.rag.chunking import Span
from services.rag.evidence import Candidate, Reading, Signs
from services.rag.schemas import Passage

CLINIC = "The clinic has 64 employees. Every employee gets 26 vacation days. Call us."
QUESTION = "How many vacation days do employees get?"
RARITY = {"mani": 1.0, "vacat": 4.0, "day": 2.0, "employe": 1.0, "get": 2.0}


def passage(text: str = CLINIC, score: float = 1.0, title: str = "") -> Passage:
    place = {"start": 0, "end": len(text), "score": score}
    return Passage(document_id="d", chunk_id="d#0", title=title, text=text, metadata={}, **place)


def marked(words: str, probability: float, text: str = CLINIC) -> tuple[Span, float]:
    start = text.index(words)
    return Span(start, start + len(words)), probability


def found(*spans: tuple[Span, float], text: str = CLINIC) -> dict[str, Candidate]:
    reading = Reading(spans, 1 - sum(probability for _, probability in spans))
    known = evidence.candidates(passage(text), reading, QUESTION, RARITY, is_first=True)
    return {text[one.place.start : one.place.end]: one for one in known}


def likeliest(*spans: tuple[Span, float]) -> str:
    known = found(*spans)
    signs = [one.signs for one in known.values()]
    scores = evidence.probabilities(signs, evidence.WEIGHTS["en"])
    return max(zip(scores, known, strict=True))[1]


def test_every_sentence_is_a_candidate():
    assert list(found()) == [
        "The clinic has 64 employees.",
        "Every employee gets 26 vacation days.",
        "Call us.",
    ]


def test_a_heading_is_no_answer():
    assert list(
        found(marked("Vacation", 0.9, "## Vacation\n\nAsk us."), text="## Vacation\n\nAsk us.")
    ) == ["Ask us."]


def test_a_span_across_sentences_is_a_candidate_of_both_together():
    assert "The clinic has 64 employees. Every employee gets 26 vacation days." in found(
        marked("employees. Every", 0.4)
    )


def test_spans_in_one_sentence_add_up():
    twice = found(marked("64", 0.2), marked("The clinic", 0.2))["The clinic has 64 employees."]
    once = found(marked("64", 0.4))["The clinic has 64 employees."]
    assert twice.signs.reading == pytest.approx(once.signs.reading)


def test_rare_words_of_the_question_count_more():
    known = found()
    assert known["Every employee gets 26 vacation days."].signs.words == pytest.approx(0.9)
    assert known["The clinic has 64 employees."].signs.words == pytest.approx(0.1)
    assert known["Call us."].signs.words == 0.0
    assert known["Call us."].signs.passage_words == pytest.approx(0.9)


def test_the_title_counts_with_the_passage():
    with_title = evidence.candidates(
        passage("Call.", title="Days"), Reading([], 1), "", RARITY, is_first=True
    )
    assert with_title[0].signs.passage_words == pytest.approx(0.2)


def test_a_question_without_a_word_of_meaning_has_no_words_to_hold():
    assert evidence.share("Anything.", ["en"], {}) == 0.0


def test_the_sentence_that_speaks_of_the_question_wins_over_a_slightly_better_span():
    assert likeliest(marked("64", 0.40), marked("26", 0.35)) == (
        "Every employee gets 26 vacation days."
    )


def test_a_clear_span_wins_over_words():
    assert likeliest(marked("64", 0.99), marked("26", 0.001)) == "The clinic has 64 employees."


@pytest.mark.parametrize("weights", evidence.WEIGHTS.values())
def test_more_of_a_sign_never_makes_a_sentence_less_likely_than_its_neighbour(weights):
    assert min(weights.reading, weights.words, weights.first) > 0 > weights.constant


def test_candidates_and_no_answer_share_one_probability():
    alone = evidence.probabilities([Signs(1, 1, 1, 1)], Signs(1, 1, 1, 1, -4))
    assert alone == [pytest.approx(0.5)]
    rivals = evidence.probabilities([Signs(1, 1, 1, 1)] * 2, Signs(1, 1, 1, 1, -4))
    assert rivals == [pytest.approx(1 / 3)] * 2
    assert evidence.probabilities([], Signs(1, 1, 1, 1)) == []


def test_impossible_and_certain_readings_stay_finite():
    certain = found(marked("26", 1.0))["Every employee gets 26 vacation days."]
    assert evidence.probabilities([certain.signs] * 3, evidence.WEIGHTS["en"])[0] <= 1 / 3
