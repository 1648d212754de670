"""The gateway against the other services' real applications; only their models are fake."""

import hashlib
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator
from pydantic import SecretStr
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from services.classifier import app as classifier_app
from services.classifier import settings as classifier_settings
from services.classifier.model import Classifier, ZeroShot
from services.gateway.app import create_app
from services.gateway.openapi import merge
from services.gateway.settings import Settings
from services.gateway.upstreams import owner
from services.imagegen import app as imagegen_app
from services.imagegen.settings import Settings as ImagegenSettings
from services.qa import app as qa_app
from services.qa import settings as qa_settings
from services.qa.model import Reader
from services.rag import app as rag_app
from services.rag import settings as rag_settings
from tests.gateway.support import FixedRouter, gateway, listening, served
from tests.gateway.test_openapi import references, resolves
from tests.imagegen.fakes import PlainPainter, settings_for, working
from tests.rag.support import HashEmbedder
from tests.support import Network, serve
from tests.text_models import MULTI_LABEL, FakeText, embeds, feels, reads

OPERATIONS = {"/livez", "/readyz", "/metrics", "/info"}


def classifier() -> FastAPI:
    thresholds = {"sadness": 0.5, "joy": 0.5, "neutral": 0.5}
    return classifier_app.create_app(
        classifier_settings.Settings(),
        Classifier(FakeText(feels, MULTI_LABEL), thresholds),
        ZeroShot(FakeText(embeds)),
    )


def qa() -> FastAPI:
    return qa_app.create_app(qa_settings.Settings(), Reader(FakeText(reads)))


def rag(database_url: str, network: Network) -> FastAPI:
    known = rag_settings.Settings(database_url=SecretStr(database_url), qa_url="http://qa")
    return rag_app.create_app(known, HashEmbedder(), network)


@asynccontextmanager
async def in_front_of(
    router: FixedRouter, services: Mapping[str, FastAPI]
) -> AsyncGenerator[httpx2.AsyncClient]:
    """Yield a client of a gateway whose services all really run."""
    async with serve(services[next(iter(services))]), served(router, services) as client:
        yield client


async def test_classify_reaches_the_classifier():
    router = FixedRouter("classify", {"text": "so happy"})
    async with in_front_of(router, {"classifier": classifier()}) as client:
        answer = await client.post("/v1/assist", json={"text": "how does this sound: so happy"})
        assert answer.json()["output"]["results"][0]["labels"] == ["joy"]
        body = {"texts": ["so sad"], "threshold": 0.5}
        direct = await client.post("/v1/classify", json=body)
        assert direct.json()["results"][0]["labels"] == ["sadness"]


async def test_a_wrong_option_is_the_services_own_problem():
    router = FixedRouter("classify", {"text": "so happy"})
    async with in_front_of(router, {"classifier": classifier()}) as client:
        answer = await client.post("/v1/assist", json={"text": "x", "options": {"colour": "red"}})
    assert answer.status_code == 422
    assert "colour" in answer.json()["detail"]


async def test_answer_reaches_qa_with_offsets_in_the_given_context():
    router = FixedRouter("answer", {"question": "When?"})
    context = "Она написала это в 1843 году."
    async with in_front_of(router, {"qa": qa()}) as client:
        answer = await client.post("/v1/assist", json={"text": "When?", "context": context})
    best = answer.json()["output"]["answers"][0]
    assert context[best["start"] : best["end"]] == best["text"] == "1843"


SAID = {"question": "When?", "context": "It was built in 1894."}
CANDIDATES = {"candidate_labels": ["cook", "travel"]}
TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["so happy"]}
DIALECTS: dict[str, tuple[Any, list[Any]]] = {
    "/hf/text-classification": ({"inputs": "so happy"}, [0, 0, "label"]),
    "/hf/zero-shot-classification": (
        {"inputs": "cook a meal", "parameters": CANDIDATES},
        [0, "label"],
    ),
    "/predict": ({"inputs": "so happy"}, [0, "label"]),
    "/v2/models/fake/infer": ({"inputs": [TENSOR]}, ["outputs", 1, "data", 1]),
    "/hf/question-answering": ({"inputs": SAID}, ["answer"]),
}
EXPECTED = ["joy", "cook", "joy", "joy", "1894"]


async def test_every_dialect_of_the_text_services_is_reached():
    services = {"classifier": classifier(), "qa": qa()}
    router = FixedRouter("chat", {})
    async with serve(services["qa"]), in_front_of(router, services) as client:
        found = []
        for path, (body, place) in DIALECTS.items():
            value = (await client.post(path, json=body)).json()
            for key in place:
                value = value[key]
            found.append(value)
        assert (await client.get("/v2/health/ready")).json() == {"ready": True}
        refused = await client.post("/predict", json={"inputs": []})
    assert found == EXPECTED
    assert refused.json()["error_type"] == "Empty"


async def test_a_service_that_is_away_is_told_in_the_words_of_its_dialect():
    async with served(FixedRouter("chat", {}), {}) as client:
        answers = {path: await client.post(path, json=body) for path, (body, _) in DIALECTS.items()}
    assert {answer.status_code for answer in answers.values()} == {502}
    assert answers.pop("/predict").json().keys() == {"error", "error_type"}
    assert all(answer.json().keys() == {"error"} for answer in answers.values())


async def test_ask_reaches_the_knowledge_base_and_its_answer_cites(database_url: str):
    reading = qa()
    knowing = rag(database_url, Network({"qa": reading}))
    router = FixedRouter("ask", {"question": "When was the bridge built?"})
    services = {"rag": knowing, "qa": reading}
    async with serve(reading), serve(knowing), served(router, services) as client:
        await client.put("/v1/collections/default")
        files = {"files": ("bridge.txt", b"The bridge was built in 1894.", "text/plain")}
        stored = await client.post(
            "/v1/collections/default/documents", files=files, headers={"Prefer": "wait=20"}
        )
        assert stored.status_code == 201, stored.text
        answer = await client.post("/v1/assist", json={"text": "When was the bridge built?"})
        unknown = await client.post("/v1/assist", json={"text": "x", "collection": "none"})
    said = answer.json()["output"]
    assert said["answered"] is True
    assert "1894" in said["answer"]
    assert "1894" in said["citations"][0]["text"]
    assert unknown.status_code == 404


@asynccontextmanager
async def painting(redis_url: str, folder: Path, painter: PlainPainter) -> AsyncGenerator[FastAPI]:
    settings = settings_for(redis_url, folder)
    async with working(settings, painter):
        yield imagegen_app.create_app(settings)


DRAWS = FixedRouter("draw", {"subject": "a red circle"})


async def test_a_picture_is_painted_waited_for_and_fetched(redis_url: str, tmp_path: Path):
    async with (
        painting(redis_url, tmp_path, PlainPainter()) as imagegen,
        in_front_of(DRAWS, {"imagegen": imagegen}) as client,
    ):
        answer = await client.post(
            "/v1/assist",
            json={"text": "draw a red circle", "options": {"seed": 7}},
            headers={"Prefer": "wait=30"},
        )
        assert answer.status_code == 200, answer.text
        (picture,) = answer.json()["output"]["pictures"]
        fetched = await client.get(picture["url"])
        again = await client.get(answer.headers["location"])
    assert picture["seed"] == 7
    assert hashlib.sha256(fetched.content).hexdigest() == picture["sha256"]
    assert fetched.headers["etag"] == f'"{picture["sha256"]}"'
    assert again.json()["status"] == "done"


async def test_painted_pictures_can_be_blended(redis_url: str, tmp_path: Path):
    async with (
        painting(redis_url, tmp_path, PlainPainter()) as imagegen,
        in_front_of(DRAWS, {"imagegen": imagegen}) as client,
    ):
        wait = {"Prefer": "wait=30"}
        drawn = await client.post("/v1/assist", json={"text": "a red circle"}, headers=wait)
        url = drawn.json()["output"]["pictures"][0]["url"]
        blended = await client.post(
            "/v1/assist",
            json={
                "text": "mix them, 30% of the first",
                "images": [{"picture": url}, {"picture": url}],
                "options": {"intent": "blend"},
            },
            headers=wait,
        )
    assert blended.status_code == 200, blended.text
    assert blended.json()["output"]["status"] == "done"


async def test_a_stream_follows_the_painting_to_its_end(redis_url: str, tmp_path: Path):
    async with (
        painting(redis_url, tmp_path, PlainPainter()) as imagegen,
        listening(imagegen) as url,
        serve(create_app(Settings(imagegen_url=url), DRAWS)) as client,
    ):
        answer = await client.post(
            "/v1/assist",
            json={"text": "draw a red circle"},
            headers={"Accept": "text/event-stream"},
        )
    blocks = (block.split("\n") for block in answer.text.strip().split("\n\n"))
    said = [(name[7:], json.loads(data[6:])) for name, data in blocks]
    assert [said[0][0], said[-1][0]] == ["route", "result"]
    assert {name for name, _ in said[1:-1]} == {"progress"}
    assert {"step": 4, "steps": 4} in [data for _, data in said]
    assert said[-1][1]["output"]["status"] == "done"


def real_documents() -> dict[str, Any]:
    return {
        "classifier": classifier().openapi(),
        "qa": qa().openapi(),
        "imagegen": imagegen_app.create_app(ImagegenSettings()).openapi(),
        "rag": rag("postgresql://nowhere", Network({})).openapi(),
    }


@pytest.mark.parametrize("service", ["classifier", "qa", "imagegen", "rag"])
def test_the_gateway_passes_on_every_path_of_a_service(service: str):
    paths = set(real_documents()[service]["paths"]) - OPERATIONS
    assert paths
    assert {path: owner(path) for path in paths} == dict.fromkeys(paths, service)


def test_the_merged_document_of_the_real_services_is_valid():
    whole = merge(gateway().openapi(), real_documents(), owner, needs_key=False)
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(whole)] == []
    dangling = [reference for reference in references(whole) if not resolves(reference, whole)]
    assert dangling == []


def test_every_json_request_has_an_example_that_its_schema_accepts():
    whole = merge(gateway().openapi(), real_documents(), owner, needs_key=False)
    for path, item in whole["paths"].items():
        for method, operation in item.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is None:
                continue
            schema = body["schema"]
            if "$ref" in schema:
                named = schema["$ref"].rpartition("/")[2]
                schema = whole["components"]["schemas"][named]
            examples = [
                *([body["example"]] if "example" in body else []),
                *(one["value"] for one in body.get("examples", {}).values()),
                *schema.get("examples", []),
                *([schema["example"]] if "example" in schema else []),
            ]
            assert examples, (method, path)
            validator = Draft202012Validator({**schema, "components": whole["components"]})
            for example in examples:
                assert list(validator.iter_errors(example)) == [], (method, path)


@pytest.mark.weights
async def test_the_gateway_starts_with_its_own_router_and_names_it():
    async with serve(create_app(Settings(), transport=Network({}))) as client:
        assert (await client.get("/info")).json()["model"]["name"] == "router"
        answer = await client.post("/v1/route", json={"text": "нарисуй красный круг"})
    said = answer.json()
    assert (said["intent"], said["language"]) == ("draw", "ru")
    assert said["slots"] == {"subject": "красный круг"}
