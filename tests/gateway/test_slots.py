"""What is found inside a message for the service that gets it."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.gateway.slots import slots_of, spans_of

DRAWN = [
    ("можешь быстро нарисовать город в стиле Ван Гога", "город в стиле Ван Гога"),
    ("нарисуй, пожалуйста, кота в шляпе", "кота в шляпе"),
    ("Дорогой бот, нарисуй кота", "кота"),
    (
        "Could you please draw me a red circle above a blue square?",
        "a red circle above a blue square",
    ),
    ("I want a picture of my grandmother as a queen, thanks!", "my grandmother as a queen"),
    ('draw "a red fox"', "a red fox"),
    ("picture: a lighthouse in a storm", "a lighthouse in a storm"),
    ("hola, ¿podrías dibujar un faro al atardecer, por favor?", "un faro al atardecer"),
    ("hazme un retrato de mi abuela", "un retrato de mi abuela"),
    ("1girl, solo, night", "1girl, solo, night"),
    ("a castle in the sky", "a castle in the sky"),
    ("draw", "draw"),
]

CLASSIFIED = [
    ("what emotion is this: I hate mondays", "I hate mondays"),
    ('is "I love it" positive?', "I love it"),
    ("I hate this - positive or negative?", "I hate this"),
    ("is this positive or negative? the food was cold", "the food was cold"),
    ("clasifica «qué asco» por favor", "qué asco"),
    ("классифицируй: мне грустно", "мне грустно"),
    ("I am so proud of you", "I am so proud of you"),
]

ANSWERED = [
    ("Context: Ana lives in Lima. Question: where?", "where?", "Ana lives in Lima."),
    ("Question: where? Context: Ana lives in Lima.", "where?", "Ana lives in Lima."),
    (
        "The bakery opens at six. It closes at three. When does it open?",
        "When does it open?",
        "The bakery opens at six. It closes at three.",
    ),
    (
        "When does it open? The bakery opens at six and closes at three.",
        "When does it open?",
        "The bakery opens at six and closes at three.",
    ),
    (
        "Lee el párrafo y responde: Ana vendió su bici a Tomás. ¿Quién compró la bici?",
        "¿Quién compró la bici?",
        "Ana vendió su bici a Tomás.",
    ),
    (
        "Согласно тексту ниже, что вызвало задержку? «Поезд опоздал из-за дерева.»",
        "что вызвало задержку?",
        "Поезд опоздал из-за дерева.",
    ),
]

WEIGHED = [
    ("30 percent of the first and the rest the second", [0.3, 0.7]),
    ("mix them 70/30", [0.7, 0.3]),
    ("a quarter of the second picture", [0.75, 0.25]),
    ("half and half", [0.5, 0.5]),
    ("un tercio de la primera y dos tercios de la segunda", [0.3333, 0.6667]),
    ("смешай, 30 процентов от первой", [0.3, 0.7]),
    ("blend image 1 at 0.4 with image 2 at 0.6", [0.4, 0.6]),
    ("20% of the first, 30% of the second and 50% of the third", [0.2, 0.3, 0.5]),
    ("на треть первая, остальное вторая", [0.3333, 0.6667]),
    ("a tercios", [0.3333, 0.3333, 0.3333]),
    ("treinta por ciento de la primera, setenta de la segunda", [0.3, 0.7]),
    ("one part of the first and two parts of the second", [0.3333, 0.6667]),
    ("merge these 1:3", [0.25, 0.75]),
    ("вдвое больше второй", [0.3333, 0.6667]),
    ("две пятых первой", [0.4, 0.6]),
]


@pytest.mark.parametrize(("text", "subject"), DRAWN)
def test_the_subject_is_the_message_without_command_and_politeness(text, subject):
    assert slots_of("draw", text) == {"subject": subject}


@pytest.mark.parametrize(("text", "wanted"), CLASSIFIED)
def test_the_text_to_classify_is_quoted_or_stands_beside_the_question(text, wanted):
    assert slots_of("classify", text) == {"text": wanted}


@pytest.mark.parametrize(("text", "question", "context"), ANSWERED)
def test_a_pasted_passage_is_parted_from_its_question(text, question, context):
    assert slots_of("answer", text) == {"question": question, "context": context}


def test_a_question_beside_a_given_context_stays_whole():
    text = "The bakery is old. When does it open?"
    assert slots_of("answer", text, has_context=True) == {"question": text}


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("hi, what is asthma?", "what is asthma?"),
        ("can you tell me how to reset my password?", "how to reset my password?"),
        ("подскажите, пожалуйста, как вернуть товар?", "как вернуть товар?"),
        ("dime cuál es la capital de Perú", "cuál es la capital de Perú"),
    ],
)
def test_a_question_loses_its_greeting(text, question):
    assert slots_of("ask", text) == {"question": question}


@pytest.mark.parametrize(("text", "weights"), WEIGHED)
def test_weights_follow_the_order_of_the_pictures_and_sum_to_one(text, weights):
    assert slots_of("blend", text)["weights"] == weights


def test_pictures_that_are_not_named_share_the_rest():
    assert slots_of("blend", "half of the first", images=3) == {"weights": [0.5, 0.25, 0.25]}


@pytest.mark.parametrize("text", ["mix pictures 1 to 3", "the left one with the right one", "mix"])
def test_numbers_that_name_pictures_are_no_weights(text):
    assert "weights" not in slots_of("blend", text)


def test_words_to_mix_in_become_the_prompt():
    assert slots_of("blend", "mix this photo with a dragon, please") == {"prompt": "a dragon"}


def test_an_unclear_message_has_no_slots():
    assert slots_of("unclear", "draw a cat") == {}


INTENTS = st.sampled_from(["draw", "classify", "answer", "ask", "blend", "write", "chat"])
PIECES = st.sampled_from(
    [
        "draw ",
        "text: ",
        "вопрос: ",
        '"',
        "«",
        "»",
        "? ",
        ". ",
        "please ",
        "30% ",
        "the first ",
        " - ",
        "\n",
    ]
)


@example(intent="answer", text="draw «draw draw draw draw »0")
@given(intent=INTENTS, text=st.lists(PIECES | st.text(max_size=8), min_size=1).map("".join))
@settings(max_examples=400, deadline=None)
def test_every_text_slot_is_a_piece_of_the_message_and_weights_sum_to_one(intent, text):
    found = slots_of(intent, text)
    spans = spans_of(text, found)
    assert set(spans) == set(found)
    for name, value in found.items():
        said = text[spans[name].start : spans[name].end]
        assert said == value if isinstance(value, str) else said.strip()
    if "weights" in found:
        assert sum(found["weights"]) == pytest.approx(1, abs=0.001)
        assert min(found["weights"]) >= 0
