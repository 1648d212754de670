"""The scores of the quality measurement, on rows small enough to check by hand."""

from typing import Any

import httpx2
import numpy as np
import pytest
import torch

from benchmarks.quality import (
    answer_quality,
    as_route,
    closest_sentence,
    emotion_quality,
    idf,
    picture,
)
from training.gateway import evaluate as routing
from training.qa.data import Example

CONTEXT = "The tower was finished in 1889. Mary designed the old bridge. It rains."


def labelled(labels: list[str], joy: float, fear: float) -> dict[str, Any]:
    scores = [{"label": "fear", "score": fear}, {"label": "joy", "score": joy}]
    return {"labels": labels, "scores": scores}


def question(text: str, answer: str) -> Example:
    return Example("en", "hand", "", CONTEXT, text, ((answer, CONTEXT.index(answer)),))


def answered(text: str, score: float, no_answer_score: float) -> dict[str, Any]:
    found = {"text": text, "score": score, "share": score}
    return {"answers": [found], "no_answer_score": no_answer_score}


def test_emotions_are_scored_at_one_half_and_as_the_service_labelled_them():
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    results = [labelled(["joy"], 0.9, 0.1), labelled(["fear"], 0.2, 0.4), labelled([], 0.3, 0.1)]
    found = emotion_quality(results, targets, ["joy", "fear"])
    assert found["rows"] == 3
    assert found["at_0.5"]["macro_f1"] == pytest.approx((2 / 3 + 0) / 2, abs=1e-4)
    assert found["at_0.5"]["micro_f1"] == pytest.approx(2 * 1 / (1 + 3), abs=1e-4)
    assert found["calibrated"]["macro_f1"] == pytest.approx((2 / 3 + 1) / 2, abs=1e-4)


def test_answers_are_scored_beside_the_closest_sentence():
    examples = [
        question("When was the tower finished?", "1889"),
        question("Who designed the bridge?", "Mary"),
        question("What was finished in 1889?", "The tower"),
    ]
    found = answer_quality(
        [answered("1889", 0.9, 0.1), answered("", 0.1, 0.9), answered("tower was", 0.6, 0.4)],
        examples,
    )
    assert found["exact_match"] == pytest.approx(100 / 3, abs=0.01)
    assert found["f1"] == pytest.approx(100 * (1 + 0 + 2 / 3) / 3, abs=0.01)
    assert found["not_refused"] == pytest.approx(200 / 3, abs=0.01)
    assert found["closest_sentence"]["exact_match"] == 0
    assert found["closest_sentence"]["f1"] > 0


def test_rare_words_decide_which_sentence_is_closest():
    contexts = [CONTEXT, "The tower is old.", "The tower was painted."]
    assert closest_sentence("the bridge", CONTEXT, idf(contexts)) == "Mary designed the old bridge."


def test_a_decision_over_the_wire_is_scored_like_the_routers_own():
    answers = {"paint a cat": "draw", "asdf": "unclear", "hello": "draw"}

    class Wire:
        def route(self, request):
            why = {"margin": 0.5, "threshold": 0.4, "evidence": [{"what": "paint", "weight": 1.0}]}
            return as_route(
                {
                    "intent": answers[request.text],
                    "confidence": 0.9,
                    "alternatives": [{"intent": "chat", "confidence": 0.1}],
                    "language": "en",
                    "slots": {},
                    "explanation": why,
                }
            )

    rows = [
        {"language": "en", "text": text, "intent": intent}
        for text, intent in zip(answers, ("draw", "other", "chat"), strict=True)
    ]
    found = routing.measure(Wire(), rows)
    assert found["accuracy"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["by_intent"] == {"chat": 0, "draw": 1, "other": 1}


def test_a_wish_that_drew_nothing_gives_an_empty_picture():
    with httpx2.Client() as nobody:
        empty = picture(nobody, {"output": {"text": "What do you mean?"}})
    assert np.unique(empty).tolist() == [250]
