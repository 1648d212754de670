"""A score says how often such an answer is right, in its language, and keeps the answers' order."""

import json
from itertools import pairwise

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.models import SOURCES
from services.qa.app import create_app
from services.qa.calibration import Calibration
from services.qa.model import Reader
from services.qa.settings import Settings
from tests.support import serve
from tests.text_models import FakeText, reads

EMBEDDED = Calibration(
    json.loads((SOURCES / "qa" / "config.json").read_text())["score_calibration"]
)
FITTED = {"en": [1.0, 1.0], "ru": [0.5, -1.0]}
ASKED = {
    "en": {"question": "When was it?", "context": "The bridge was opened in 1894 by the queen."},
    "ru": {"question": "Когда это было?", "context": "Мост открыли в 1894 году."},
    "es": {"question": "¿Cuándo fue?", "context": "El puente se abrió en 1894."},
}


async def ask(client: httpx2.AsyncClient, language: str) -> tuple[float, float, str | None]:
    answer = (await client.post("/v1/answer", json=ASKED[language])).json()
    (found,) = answer["answers"]
    return found["share"], found["score"], answer["calibrated_for"]


async def test_an_answer_in_a_language_of_low_quality_says_so():
    reader = Reader(FakeText(reads, {"score_calibration": FITTED}, name="reads"))
    async with serve(create_app(Settings(), reader)) as client:
        english, russian, spanish = [await ask(client, lang) for lang in ("en", "ru", "es")]
    assert english[0] == pytest.approx(russian[0], abs=0.01)
    assert english[1] > english[0] > russian[1]
    assert (english[2], russian[2]) == ("en", "ru")
    assert spanish[0] == spanish[1]
    assert spanish[2] is None


@given(shares=st.lists(st.floats(0, 1), min_size=2, max_size=9).map(sorted))
def test_a_greater_share_never_scores_less(shares: list[float]):
    calibration = Calibration(FITTED)
    for language in ("en", "ru", "other"):
        scores = [calibration.score(share, language) for share in shares]
        assert all(0 <= low <= high <= 1 for low, high in pairwise(scores))


def test_the_embedded_models_scores_promise_less_in_weaker_languages():
    scores = [EMBEDDED.score(0.5, language) for language in ("en", "es", "ru")]
    assert sorted(scores, reverse=True) == scores
    assert scores[0] - scores[2] > 0.2
