"""One document describes everything, whichever services run."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from services.gateway.openapi import HTTP_METHODS, merge
from services.gateway.upstreams import owner
from tests.gateway.support import Scripted, served
from tests.support import until


class Inner(BaseModel):
    text: str


class Answer(BaseModel):
    inner: Inner


def document(*paths: str) -> dict[str, Any]:
    """Return what a service with these paths publishes; all services call their schemas the same."""
    app = FastAPI()

    def run(body: Inner) -> Answer:
        return Answer(inner=body)

    for path in paths:
        app.add_api_route(path, run, methods=["POST"], operation_id="run" + path.replace("/", "_"))
    return app.openapi()


def references(node: Any) -> Iterator[str]:
    """Yield every reference inside a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from references(value)
    elif isinstance(node, list):
        for entry in node:
            yield from references(entry)


def resolves(reference: str, inside: Any) -> bool:
    for part in reference.removeprefix("#/").split("/"):
        if part not in inside:
            return False
        inside = inside[part]
    return True


def test_schemas_of_the_same_name_stay_apart():
    own = FastAPI(title="gateway").openapi()
    services = {"qa": document("/v1/answer"), "rag": document("/v1/collections/{name}")}
    merged = merge(own, services, owner, needs_key=False)
    assert {"QaAnswer", "QaInner", "RagAnswer", "RagInner"} <= set(merged["components"]["schemas"])
    assert all(resolves(reference, merged) for reference in references(merged))
    body = merged["paths"]["/v1/answer"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/QaInner"}


def test_only_paths_that_the_gateway_passes_on_are_shown():
    services = {"qa": document("/v1/answer", "/readyz", "/v1/classify")}
    assert list(merge(FastAPI().openapi(), services, owner, needs_key=False)["paths"]) == [
        "/v1/answer"
    ]


def test_operations_are_told_apart_by_their_service():
    services = {"qa": document("/v1/answer"), "rag": document("/embed", "/rerank")}
    merged = merge(FastAPI().openapi(), services, owner, needs_key=False)
    operations = [item["post"] for item in merged["paths"].values()]
    assert [operation["tags"] for operation in operations] == [["qa"], ["rag"], ["rag"]]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))


def test_merging_leaves_the_sources_alone():
    own, qa = FastAPI().openapi(), document("/v1/answer")
    merge(own, {"qa": qa}, owner, needs_key=False)
    assert (own, qa) == (FastAPI().openapi(), document("/v1/answer"))


@pytest.mark.parametrize(
    ("keys", "asked"), [(None, []), (f"{'0' * 64} acme", [{"Key": []}, {"KeyHeader": []}])]
)
async def test_a_key_is_asked_for_where_keys_are_needed(keys: str | None, asked: list[Any]):
    qa = Scripted({})
    qa.document = document("/v1/answer")
    async with served(services={"qa": qa.app}, keys=keys) as client:

        async def merged() -> dict[str, Any] | None:
            paths: dict[str, Any] = (await shown(client))["paths"]
            return paths if "/v1/answer" in paths else None

        paths = await until(merged)
    assert paths["/v1/answer"]["post"]["security"] == asked
    assert paths["/v1/assist"]["post"]["security"] == asked
    assert "security" not in paths["/livez"]["get"]


async def shown(client: httpx2.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


async def test_the_whole_document_is_valid_and_unambiguous():
    services = {"qa": Scripted({}), "rag": Scripted({})}
    services["qa"].document = document("/v1/answer")
    services["rag"].document = document("/v1/collections/{name}")
    async with served(services={name: fake.app for name, fake in services.items()}) as client:

        async def both() -> bool:
            return "/v1/collections/{name}" in (await shown(client))["paths"]

        await until(both)
        whole = await shown(client)
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(whole)] == []
    assert {"/v1/assist", "/v1/route", "/v1/services", "/v1/answer"} <= set(whole["paths"])
    assert all(resolves(reference, whole) for reference in references(whole))
    ids = [
        operation["operationId"]
        for item in whole["paths"].values()
        for method, operation in item.items()
        if method in HTTP_METHODS
    ]
    assert len(ids) == len(set(ids))


async def test_a_service_that_does_not_answer_is_left_out_with_a_note_and_comes_back():
    qa = Scripted({})
    async with served(services={"qa": qa.app}, openapi_refresh_seconds=0.05) as client:

        async def noted() -> bool:
            return "Left out" in (await shown(client))["info"]["description"]

        await until(noted)
        assert "qa" in (await shown(client))["info"]["description"].rpartition("Left out")[2]
        qa.document = document("/v1/answer")

        async def is_back() -> bool:
            return "/v1/answer" in (await shown(client))["paths"]

        await until(is_back)
        assert "qa" not in (await shown(client))["info"]["description"].rpartition("Left out")[2]


async def test_nonsense_in_place_of_a_document_is_left_out():
    qa = Scripted({})
    qa.document = {"hello": "world"}
    async with served(services={"qa": qa.app}) as client:
        assert (await client.get("/openapi.json")).status_code == 200
        assert (await client.get("/docs")).status_code == 200
