"""What the console asks of the gateway: with the visitor's key, in time, and under an id of its own."""

import hashlib

import pytest
from fastapi import FastAPI, Request, Response
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse

from kit.errors import ServiceError, Unauthorized
from services.console.schemas import Blend, Wish
from tests.console.support import JOB_ID, before, painter
from tests.gateway.support import FixedRouter

KEY = "open sesame"
KEYS = f"{hashlib.sha256(KEY.encode()).hexdigest()} acme"
WISH = Wish(text="draw a red circle")


async def test_the_visitors_key_decides_whose_work_it_is():
    imagegen = painter()
    router = FixedRouter("draw", {"subject": "a red circle"})
    async with before({"imagegen": imagegen}, router, keys=KEYS) as client:
        _ = [event async for event in client.assist(WISH, "draw", KEY)]
    assert {headers["x-tenant"] for headers in imagegen.headers} == {"acme"}


@pytest.mark.parametrize("key", ["", "another"])
async def test_a_missing_or_unknown_key_is_told_apart_from_a_failure(key: str):
    async with before({}, keys=KEYS) as client:
        with pytest.raises(Unauthorized):
            await client.route(WISH, key)
        with pytest.raises(Unauthorized):
            _ = [event async for event in client.assist(WISH, None, key)]


async def test_every_call_has_an_id_and_a_time_budget_of_its_own():
    imagegen = painter()
    async with before({"imagegen": imagegen}) as client:
        for _ in range(2):
            await client.picture(f"/v1/images/{JOB_ID}/pictures/0", "")
    ids = [headers["x-request-id"] for headers in imagegen.headers]
    budgets = [int(headers["x-request-timeout-ms"]) for headers in imagegen.headers]
    assert len(set(ids)) == 2
    assert all(0 < budget <= 10_000 for budget in budgets)


async def test_a_services_problem_keeps_its_own_sentence():
    async with before({}) as client:
        with pytest.raises(ServiceError, match="imagegen cannot be reached"):
            await client.blend(Blend(pictures=("a", "b"), second_percent=50), "")


async def test_options_go_to_the_service_that_knows_them_only():
    wish = Wish(text="hello", seed=7, steps=20, collection="house", conversation_id="c")
    assert wish.body("draw")["options"] == {"intent": "draw", "seed": 7, "steps": 20}
    assert wish.body("classify")["options"] == {"intent": "classify"}
    assert "conversation_id" not in wish.body("draw")
    assert wish.body("ask")["conversation_id"] == "c"


def test_a_blend_leaves_out_what_has_no_share():
    blend = Blend(pictures=("first", "second"), second_percent=100, words="at night")
    assert blend.body() == {
        "sources": [{"data": "second", "weight": 100}],
        "prompt": "at night",
    }


class Library:
    """A knowledge base that has no collections yet."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.app = FastAPI()
        self.app.add_api_route("/v1/collections/{name}", self._look, methods=["GET"])
        self.app.add_api_route("/v1/collections/{name}", self._make, methods=["PUT"])
        self.app.add_api_route("/v1/collections/{name}/documents", self._add, methods=["POST"])

    async def _look(self, name: str) -> Response:
        found = name in self.made
        return JSONResponse({"name": name, "detail": "none"}, 200 if found else 404)

    async def _make(self, name: str) -> dict[str, str]:
        self.made.append(name)
        return {"name": name}

    async def _add(self, request: Request) -> dict[str, list[dict[str, str]]]:
        async with request.form() as form:
            files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            documents = [
                {"id": str(part.filename), "text": (await part.read()).decode()} for part in files
            ]
        return {"documents": documents}


async def test_a_collection_is_made_once_and_files_arrive_as_they_are():
    library = Library()
    async with before({"rag": library}) as client:
        for name in ("a.md", "отпуск.md"):
            receipts = await client.add_documents("house", [(name, b"# A")], "")
            assert receipts == [{"id": name, "text": "# A"}]
    assert library.made == ["house"]
