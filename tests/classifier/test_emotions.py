"""The embedded models do what the service says, on sentences that leave no doubt."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from services.classifier.app import create_app
from services.classifier.settings import Settings
from tests.support import serve

pytestmark = pytest.mark.weights

EMOTIONS = {
    "I am so grateful for your help": "gratitude",
    "This is hilarious, I can't stop laughing": "amusement",
    "I love you so much": "love",
    "I'm terrified of what happens next": "fear",
    "I'm so sorry, please forgive me": "remorse",
    "The meeting is on Tuesday at the office.": "neutral",
}
TOPICS = {
    "The team won the final after extra time": "sports",
    "The bank raised its interest rate again": "finance",
    "Add the onions and let them fry slowly": "cooking",
}


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with serve(create_app(Settings())) as client:
        yield client


async def test_plain_sentences_get_the_emotion_they_state(client: httpx2.AsyncClient):
    answer = await client.post("/v1/classify", json={"texts": list(EMOTIONS)})
    results = answer.json()["results"]
    assert [result["scores"][0]["label"] for result in results] == list(EMOTIONS.values())
    assert all(
        emotion in result["labels"]
        for emotion, result in zip(EMOTIONS.values(), results, strict=True)
    )


async def test_an_emotion_at_the_end_of_a_long_text_is_found(client: httpx2.AsyncClient):
    text = "The report lists the rooms of the building. " * 120 + "Thank you so much! " * 60
    answer = await client.post("/v1/classify", json={"texts": [text]})
    (result,) = answer.json()["results"]
    assert result["windows"] > 1
    assert "gratitude" in result["labels"]


async def test_zero_shot_tells_plain_topics_apart(client: httpx2.AsyncClient):
    asked = {"texts": list(TOPICS), "labels": [*TOPICS.values(), "religion"]}
    answer = await client.post("/v1/zero-shot", json=asked)
    results = answer.json()["results"]
    assert [result["labels"] for result in results] == [[topic] for topic in TOPICS.values()]
