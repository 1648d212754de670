"""What callers of the rag service see, on a real Postgres; the models are fakes."""

import json
from typing import Any

import pytest

from services.rag.database import opened
from tests.rag.support import HashEmbedder, fill, rag, search

CATS = {"id": "cats", "title": "Cats", "text": "Cats sleep long. They hunt mice at night."}
DOGS = {"id": "dogs", "title": "Dogs", "text": "Dogs bark.\n\nDogs guard the house by day."}


async def test_a_document_is_found_by_its_words_in_every_mode(client):
    await fill(client, CATS, DOGS)
    for mode in ("hybrid", "dense", "keyword"):
        best = (await search(client, "who hunts mice?", mode=mode))[0]
        assert best["document_id"] == "cats"


async def test_a_passage_is_exactly_the_text_between_its_offsets(client):
    text = "  ¿Qué hora es? Es tarde.\n\n" + "Кошка спит. 🐈 Она рыжая. " * 60
    await fill(client, {"id": "mixed", "text": text})
    found = await search(client, "рыжая кошка", k=50)
    stored = (await client.get("/v1/collections/docs/documents/mixed")).json()["text"]
    assert stored == text
    assert found
    assert all(text[one["start"] : one["end"]] == one["text"] for one in found)


async def test_words_are_found_in_other_grammatical_forms(client):
    documents = [
        {"id": "ru", "text": "Возврат средств занимает пять рабочих дней."},
        {"id": "es", "text": "Las devoluciones tardan cinco días laborables."},
        {"id": "en", "text": "Refunds are paid within five working days."},
    ]
    await fill(client, *documents)
    for query, document in [
        ("рабочий день возвратов", "ru"),
        ("devolución tarda", "es"),
        ("refunding", "en"),
    ]:
        assert (await search(client, query, mode="keyword"))[0]["document_id"] == document


async def test_the_language_of_a_document_is_recognised_or_taken_as_stated(client):
    await fill(
        client,
        {"id": "a", "text": "La casa es grande y el jardín también."},
        {"id": "b", "text": "Taxi", "language": "ru"},
    )
    found = [
        (await client.get(f"/v1/collections/docs/documents/{name}")).json()["language"]
        for name in "ab"
    ]
    assert found == ["es", "ru"]


async def test_the_same_upload_again_changes_nothing(database_url, tenant):
    embedder = HashEmbedder()
    async with rag(database_url, tenant, embedder=embedder) as client:
        first = await fill(client, CATS, {"text": "Without an id."})
        seen = len(embedder.seen)
        again = await fill(client, CATS, {"text": "Without an id."})
    assert first == again
    assert len(embedder.seen) == seen


async def test_a_new_version_replaces_the_old_one(client):
    await fill(client, CATS)
    (receipt,) = await fill(client, {**CATS, "text": "Cats purr."})
    found = await search(client, "mice purr")
    collection = (await client.get("/v1/collections/docs")).json()
    assert receipt["version"] == 2
    assert [one["text"] for one in found] == ["Cats purr."]
    assert (collection["documents"], collection["chunks"]) == (1, 1)


async def test_a_deleted_document_is_found_no_more(client):
    await fill(client, CATS, DOGS)
    assert (await client.delete("/v1/collections/docs/documents/cats")).status_code == 204
    found = await search(client, "cats mice night")
    gone = await client.get("/v1/collections/docs/documents/cats")
    again = await client.delete("/v1/collections/docs/documents/cats")
    assert "cats" not in {one["document_id"] for one in found}
    assert (gone.status_code, again.status_code) == (404, 404)


async def test_of_what_is_deleted_no_word_stays_in_the_database(client, database_url, tenant):
    await fill(client, CATS, {"id": "secret", "title": "Xylophone", "text": "Quetzalcoatl sleeps."})
    await fill(client, {"id": "secret", "title": "Zeppelin", "text": "Popocatepetl sleeps."})
    await client.delete("/v1/collections/docs/documents/secret")
    async with opened(database_url, connections=1) as database, database.connection() as one:
        tables = await one.fetch(
            "select table_name from information_schema.columns"
            " where table_schema = 'rag' and column_name = 'tenant'"
        )
        rows = []
        for (table,) in tables:
            query = f"select one::text from {table} one where tenant = $1"
            rows += [row[0].lower() for row in await one.fetch(query, tenant)]
    assert any("mice" in row for row in rows)
    for word in ("xylophon", "quetzalcoatl", "zeppelin", "popocatepetl"):
        assert not [row for row in rows if word in row]


async def test_scores_do_not_remember_deleted_documents(client):
    await fill(client, CATS, name="plain")
    await fill(client, DOGS, CATS, name="docs")
    await client.delete("/v1/collections/docs/documents/dogs")
    await client.delete("/v1/collections/docs/documents/cats")
    await fill(client, CATS, name="docs")
    plain = await search(client, "mice", mode="keyword", name="plain")
    other = await search(client, "mice", mode="keyword", name="docs")
    assert plain[0]["keyword_score"] == pytest.approx(other[0]["keyword_score"])


async def test_a_filter_keeps_documents_whose_metadata_match(client):
    documents: list[dict[str, Any]] = [
        {"id": "a", "text": "Opening hours", "metadata": {"site": "north", "tags": ["x", "y"]}},
        {"id": "b", "text": "Opening hours", "metadata": {"site": "south", "year": 2025}},
        {"id": "c", "text": "Opening hours"},
    ]
    cases = [
        ({"site": "north"}, {"a"}),
        ({"site": ["north", "south"]}, {"a", "b"}),
        ({"tags": "y"}, {"a"}),
        ({"year": 2025, "site": "south"}, {"b"}),
        ({"site": "east"}, set()),
        ({"site": ["north", *(f"s{n}" for n in range(20))]}, {"a"}),
        ({"tags": ["y", *(f"t{n}" for n in range(20))], "site": "north"}, {"a"}),
        ({"year": list(range(2000, 2020))}, set()),
        ({"site": []}, set()),
        ({}, {"a", "b", "c"}),
    ]
    await fill(client, *documents)
    for wanted, expected in cases:
        found = await search(client, "opening hours", filter=wanted)
        assert {one["document_id"] for one in found} == expected, wanted


async def test_files_become_documents(client):
    inside = json.dumps({"documents": [{"id": "inner", "text": "From JSON."}]})
    files = [
        ("files", ("guía rápida.md", "\ufeff# Guía\n\nTexto.".encode(), "text/markdown")),
        ("files", ("notes.TXT", b"Plain notes.", "text/plain")),
        ("files", ("more.json", inside.encode(), "application/json")),
    ]
    await client.put("/v1/collections/docs")
    answer = await client.post("/v1/collections/docs/documents", files=files)
    ids = [one["id"] for one in answer.json()["documents"]]
    guide = await client.get("/v1/collections/docs/documents/guía rápida.md")
    assert answer.status_code == 202
    assert ids == ["guía rápida.md", "notes.TXT", "inner"]
    assert guide.json()["title"] == "Guía"


async def test_nothing_of_another_tenant_exists(database_url, tenant):
    async with rag(database_url, tenant, answers={"mice": "mice"}) as client:
        await fill(client, CATS)
        asked = await client.post("/v1/collections/docs/ask", json={"question": "mice?"})
        mine = f"/v1/conversations/{asked.json()['conversation_id']}"
        client.headers["X-Tenant"] = f"{tenant}-other"
        answers = [
            await client.get("/v1/collections/docs"),
            await client.delete("/v1/collections/docs"),
            await client.get("/v1/collections/docs/documents/cats"),
            await client.delete("/v1/collections/docs/documents/cats"),
            await client.post("/v1/collections/docs/search", json={"query": "mice"}),
            await client.post("/v1/collections/docs/ask", json={"question": "mice"}),
            await client.post("/v1/collections/docs/documents", json={"documents": [CATS]}),
            await client.get(mine),
            await client.delete(mine),
        ]
        listed = await client.get("/v1/collections")
    assert {answer.status_code for answer in answers} == {404}
    assert listed.json() == {"collections": []}


async def test_a_collection_is_made_once_listed_and_deleted_with_everything(client):
    made = await client.put("/v1/collections/docs", json={"description": "Pets"})
    again = await client.put("/v1/collections/docs", json={"description": "Animals"})
    await fill(client, CATS)
    listed = (await client.get("/v1/collections")).json()["collections"]
    await client.delete("/v1/collections/docs")
    gone = await client.get("/v1/collections/docs")
    await fill(client, DOGS)
    found = await search(client, "cats dogs")
    assert (made.status_code, again.status_code, gone.status_code) == (201, 200, 404)
    assert [one["name"] for one in listed] == ["docs"]
    assert {one["document_id"] for one in found} == {"dogs"}


BAD_COLLECTIONS = ["a" * 64, "-a", "a b", "a%00b", "ä", "a.b"]


@pytest.mark.parametrize("name", BAD_COLLECTIONS)
async def test_a_bad_collection_name_is_refused(empty, name):
    answer = await empty.put(f"/v1/collections/{name}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


BAD_DOCUMENTS = [
    (b'{"documents": [', 400),
    (b"", 400),
    (b"[]", 422),
    (b'{"documents": []}', 422),
    (b'{"documents": [{"text": ""}]}', 422),
    (b'{"documents": [{"text": "  "}]}', 422),
    (b'{"documents": [{"text": "a\\u0000b"}]}', 422),
    (b'{"documents": [{"text": "\\ud800"}]}', 400),
    (b'{"documents": [{"text": "a", "title": "\\u0000"}]}', 422),
    (b'{"documents": [{"text": "a", "id": "a/b"}]}', 422),
    (b'{"documents": [{"text": "a", "id": ""}]}', 422),
    (b'{"documents": [{"text": "a", "id": "' + b"x" * 201 + b'"}]}', 422),
    (b'{"documents": [{"text": "a", "metadata": {"k": "\\u0000"}}]}', 422),
    (b'{"documents": [{"text": "a", "metadata": {"\\u0000": 1}}]}', 422),
    (b'{"documents": [{"text": "a", "metadata": {"k": NaN}}]}', 422),
    (b'{"documents": [{"text": "a", "metadata": {"k": 1e999}}]}', 422),
    (b'{"documents": [{"text": "a", "metadata": {"k": {"deep": 1}}}]}', 422),
    (b'{"documents": [{"text": "a", "metadata": 3}]}', 422),
    (b'{"documents": [{"text": "a", "language": "de"}]}', 422),
    (b'{"documents": [{"text": "a", "txet": "b"}]}', 422),
    (b'{"documents": [{"text": 3}]}', 422),
    (b"\xff\xfe", 400),
]


@pytest.mark.parametrize(("body", "status"), BAD_DOCUMENTS)
async def test_a_bad_upload_is_refused_and_nothing_is_stored(empty, body, status):
    answer = await empty.post(
        "/v1/collections/docs/documents",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    collection = (await empty.get("/v1/collections/docs")).json()
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert (collection["documents"], collection["waiting"]) == (0, 0)


BAD_FILES = [
    ("scan.pdf", b"%PDF-1.7", 422),
    ("sheet.xlsx", b"PK", 415),
    ("noname", b"text", 415),
    ("latin.txt", "café".encode("latin-1"), 422),
    ("empty.md", b"", 422),
    ("nul.txt", b"a\0b", 422),
    ("broken.json", b"{", 400),
    ("other.json", b'{"rows": []}', 422),
]


@pytest.mark.parametrize(("name", "content", "status"), BAD_FILES)
async def test_an_unreadable_file_is_named_in_the_refusal(empty, name, content, status):
    answer = await empty.post("/v1/collections/docs/documents", files={"files": (name, content)})
    assert answer.status_code == status, answer.text
    assert name in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_another_content_type_is_refused(empty, kind):
    answer = await empty.post(
        "/v1/collections/docs/documents", content=b"a", headers={"Content-Type": kind}
    )
    assert answer.status_code == 415


async def test_a_form_without_files_is_refused(empty):
    answer = await empty.post("/v1/collections/docs/documents", files={"x": (None, "field")})
    assert answer.status_code == 422


BAD_SEARCHES = [
    {},
    {"query": ""},
    {"query": " "},
    {"query": "a\0"},
    {"query": "a" * 4001},
    {"query": "a", "k": 0},
    {"query": "a", "k": 101},
    {"query": "a", "k": "many"},
    {"query": "a", "mode": "magic"},
    {"query": "a", "filter": []},
    {"query": "a", "filter": {"k": {"deep": 1}}},
    {"query": "a", "filter": {"k": "\0"}},
    {"query": "a", "unknown": 1},
]


@pytest.mark.parametrize("body", BAD_SEARCHES)
async def test_a_bad_search_is_refused(empty, body):
    answer = await empty.post("/v1/collections/docs/search", json=body)
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("body", [b'{"query": "a", "filter": {"k": NaN}}', b'{"query": "\\ud800"}'])
async def test_a_search_that_is_no_real_json_is_refused(empty, body):
    answer = await empty.post(
        "/v1/collections/docs/search",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code in {400, 422}


async def test_a_result_says_where_each_way_of_searching_placed_it(client):
    await fill(client, CATS, DOGS)
    best, other = await search(client, "cats hunt mice", rerank=False)
    assert (best["score"], best["dense_rank"], best["keyword_rank"]) == (pytest.approx(1.0), 1, 1)
    assert (other["dense_rank"], other["keyword_rank"], other["keyword_score"]) == (2, None, None)


async def test_a_document_without_words_is_stored_all_the_same(client):
    await fill(client, {"id": "cat", "text": "🐈 !!!"})
    assert [one["text"] for one in await search(client, "🐈", mode="dense")] == ["🐈 !!!"]


async def test_odd_queries_are_answered(client):
    odd = ["'", "\\", "a' | 'b", "!!!", "🐈", "the of and", "%_*:&|!()", "x" * 4000, "и в на"]
    await fill(client, CATS)
    for query in odd:
        for mode in ("hybrid", "dense", "keyword"):
            assert len(await search(client, query, mode=mode)) <= 1


async def test_a_search_in_an_empty_collection_finds_nothing(empty):
    assert await search(empty, "anything") == []


async def test_a_document_that_cannot_be_indexed_says_so_and_holds_up_no_other(
    database_url, tenant
):
    async with rag(database_url, tenant) as client:
        await client.put("/v1/collections/docs")
        body = {"documents": [{"id": "bad", "text": "poison"}]}
        await client.post("/v1/collections/docs/documents", json=body)
        await fill(client, CATS)
        answer = await client.post(
            "/v1/collections/docs/documents", json=body, headers={"Prefer": "wait=60"}
        )
        bad = (await client.get("/v1/collections/docs/documents/bad")).json()
        again = await client.post("/v1/collections/docs/documents", json=body)
    assert answer.is_success, answer.text
    assert answer.json()["documents"][0]["status"] == "failed"
    assert (bad["status"], bool(bad["error"])) == ("failed", True)
    assert again.json()["documents"][0] == {
        "id": "bad",
        "version": bad["version"] + 1,
        "status": "waiting",
    }
