"""What callers of the classifier see; only the network is fake."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from services.classifier.app import create_app
from services.classifier.model import Classifier, ZeroShot
from services.classifier.settings import Settings
from tests.support import serve
from tests.text_models import MULTI_LABEL, FakeText, embeds, feels

THRESHOLDS = {"sadness": 0.5, "joy": 0.99, "neutral": 0.2}
LONG = "word " * 600  # 600 tokens, five windows of the fake's 128


@asynccontextmanager
async def service(
    thresholds: dict[str, float] | None = None, config: dict[str, Any] = MULTI_LABEL
) -> AsyncGenerator[httpx2.AsyncClient]:
    classifier = Classifier(FakeText(feels, config, name="feels"), thresholds)
    app = create_app(Settings(), classifier, ZeroShot(FakeText(embeds, name="embeds")))
    async with serve(app) as client:
        yield client


async def classify(client: httpx2.AsyncClient, **body: Any) -> list[dict[str, Any]]:
    answer = await client.post("/v1/classify", json=body)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


async def test_each_text_gets_its_own_labels_in_the_order_asked():
    async with service() as client:
        results = await classify(client, texts=["so happy", "so sad", "happy and sad", "a table"])
    assert [result["labels"] for result in results] == [
        ["joy"],
        ["sadness"],
        ["sadness", "joy"],
        [],
    ]


async def test_scores_are_independent_probabilities_best_first():
    async with service() as client:
        (result,) = await classify(client, texts=["happy and sad"])
    assert [score["label"] for score in result["scores"]] == ["sadness", "joy", "neutral"]
    assert [score["score"] for score in result["scores"]] == pytest.approx(
        [0.982, 0.982, 0.269], abs=1e-3
    )


async def test_a_single_label_model_gets_probabilities_that_add_up_to_one():
    async with service(config={**MULTI_LABEL, "problem_type": None}) as client:
        (result,) = await classify(client, texts=["so happy"])
    assert sum(score["score"] for score in result["scores"]) == pytest.approx(1)
    assert result["labels"] == ["joy"]


async def test_calibrated_thresholds_are_used_when_the_model_has_them():
    async with service(THRESHOLDS) as client:
        (result,) = await classify(client, texts=["so happy"])
        (asked,) = await classify(client, texts=["so happy"], threshold="calibrated")
    assert result["labels"] == asked["labels"] == ["neutral"]


async def test_a_given_threshold_wins_over_calibrated_ones():
    async with service(THRESHOLDS) as client:
        (result,) = await classify(client, texts=["so happy"], threshold=0.5)
        (every,) = await classify(client, texts=["so happy"], threshold=0)
    assert result["labels"] == ["joy"]
    assert len(every["labels"]) == 3


async def test_calibrated_is_refused_when_the_model_has_no_thresholds():
    async with service() as client:
        answer = await client.post(
            "/v1/classify", json={"texts": ["hi"], "threshold": "calibrated"}
        )
    assert answer.status_code == 422
    assert "no calibrated thresholds" in answer.json()["detail"]


async def test_top_k_limits_the_scores_and_not_the_labels():
    async with service() as client:
        (result,) = await classify(client, texts=["happy and sad"], top_k=1)
    assert [score["label"] for score in result["scores"]] == ["sadness"]
    assert result["labels"] == ["sadness", "joy"]


async def test_a_long_text_is_read_to_its_end_in_windows():
    async with service() as client:
        short, long = await classify(client, texts=["so sad", LONG + "happy"])
    assert long["labels"] == ["joy"]
    assert (short["windows"], short["truncated"]) == (1, False)
    assert long["windows"] > 5
    assert long["truncated"] is False


async def test_one_poisonous_text_fails_alone():
    async with service() as client:
        refused = await client.post("/v1/classify", json={"texts": ["poison"]})
        (result,) = await classify(client, texts=["so happy"])
    assert refused.status_code == 500
    assert result["labels"] == ["joy"]


async def zero_shot(client: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/v1/zero-shot", json=body)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()["results"][0]
    return result


async def test_zero_shot_picks_the_label_closest_in_meaning():
    async with service() as client:
        result = await zero_shot(client, texts=["cook a meal"], labels=["travel", "cook", "music"])
    assert result["labels"] == ["cook"]
    assert sum(score["score"] for score in result["scores"]) == pytest.approx(1)


async def test_zero_shot_with_several_labels_scores_each_alone():
    async with service() as client:
        result = await zero_shot(
            client,
            texts=["cook music"],
            labels=["travel", "cook", "music"],
            multi_label=True,
            template="{}",
        )
    assert set(result["labels"]) == {"cook", "music"}


async def test_zero_shot_reads_a_long_text_to_its_end():
    async with service() as client:
        result = await zero_shot(client, texts=[LONG + "cook"], labels=["travel", "cook"])
    assert result["labels"] == ["cook"]
    assert result["windows"] > 5


BAD_CLASSIFY: dict[str, tuple[Any, int]] = {
    "no texts": ({"texts": []}, 422),
    "texts missing": ({}, 422),
    "a text alone": ({"texts": "hi"}, 422),
    "a number": ({"texts": [1]}, 422),
    "an empty text": ({"texts": [""]}, 422),
    "a blank text": ({"texts": [" \n\t"]}, 422),
    "a lone surrogate": (rb'{"texts": ["\ud800"]}', 422),
    "a text too long": ({"texts": ["x" * 20_001]}, 422),
    "too many texts": ({"texts": ["x"] * 65}, 422),
    "a threshold above one": ({"texts": ["x"], "threshold": 1.5}, 422),
    "a threshold that is no number": (b'{"texts": ["x"], "threshold": NaN}', 422),
    "a threshold that is true": ({"texts": ["x"], "threshold": True}, 422),
    "an unknown threshold": ({"texts": ["x"], "threshold": "high"}, 422),
    "top_k zero": ({"texts": ["x"], "top_k": 0}, 422),
    "a misspelt option": ({"texts": ["x"], "topk": 1}, 422),
    "broken JSON": (b'{"texts": [', 400),
    "not JSON at all": (b"\xff\xfe", 400),
    "a list": ([], 422),
    "a body over the limit": ({"texts": ["x" * 19_000] * 64, "pad": "x" * 2**20}, 413),
}


@pytest.mark.parametrize(("body", "status"), BAD_CLASSIFY.values(), ids=BAD_CLASSIFY)
async def test_classify_refuses(body: Any, status: int):
    await refused("/v1/classify", body, status)


X = {"texts": ["x"]}
BAD_ZERO_SHOT: dict[str, Any] = {
    "no labels": X | {"labels": []},
    "labels missing": X,
    "a blank label": X | {"labels": [" "]},
    "too many labels": X | {"labels": [str(number) for number in range(101)]},
    "a label twice": X | {"labels": ["a", "a"]},
    "a template without a place": X | {"labels": ["a"], "template": "about"},
    "a template with two places": X | {"labels": ["a"], "template": "{} {}"},
    "a template with a lone brace": X | {"labels": ["a"], "template": "{ {}"},
    "a template that reaches inside": X | {"labels": ["a"], "template": "{0.__class__}"},
    "multi_label as text": X | {"labels": ["a"], "multi_label": "yes"},
    "a blank text": {"texts": [" "], "labels": ["a"]},
}


@pytest.mark.parametrize("body", BAD_ZERO_SHOT.values(), ids=BAD_ZERO_SHOT)
async def test_zero_shot_refuses(body: Any):
    await refused("/v1/zero-shot", body, 422)


async def refused(path: str, body: Any, status: int) -> None:
    sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
    async with service() as client:
        answer = await client.post(path, **sent, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


async def test_info_and_metrics_name_both_models():
    async with service() as client:
        info = (await client.get("/info")).json()
        metrics = (await client.get("/metrics")).text
    assert [model["model"] for model in info["models"]] == ["feels", "embeds"]
    assert 'switchboard_model_info{backend="fake",model="feels",revision="1"} 1.0' in metrics


async def test_a_broken_model_makes_the_service_unready():
    fake = FakeText(feels, MULTI_LABEL, name="feels")
    app = create_app(Settings(), Classifier(fake), ZeroShot(FakeText(embeds, name="embeds")))
    async with serve(app) as client:
        fake.rule = lambda _: {}
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["failures"] == {"feels": "The model fails: KeyError."}


async def test_texts_of_one_request_share_a_batch():
    fake = FakeText(feels, MULTI_LABEL)
    app = create_app(Settings(), Classifier(fake), ZeroShot(FakeText(embeds, name="embeds")))
    async with serve(app) as client:
        fake.batches.clear()
        await classify(client, texts=["so happy"] * 20)
    assert fake.batches == [20]
