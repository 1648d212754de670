"""Files of every kind become documents; one that cannot be read is refused with its name and place."""

import json
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from services.rag.readers import sandbox
from services.rag.readers.drafts import Options, Unreadable
from tests.rag import files
from tests.rag.support import search

DOCUMENTS = "/v1/collections/docs/documents"
FAQ = 'question,answer,topic\n"When do you open?",At eight.,hours\nWhere?,"In a street,\ntwo lines",place\n'


async def upload(
    client: httpx2.AsyncClient, name: str, content: bytes | str, **fields: str
) -> httpx2.Response:
    await client.put("/v1/collections/docs")
    raw = content.encode() if isinstance(content, str) else content
    return await client.post(
        DOCUMENTS, files={"files": (name, raw)}, data=fields, headers={"Prefer": "wait=60"}
    )


async def document(client: httpx2.AsyncClient, name: str) -> dict[str, Any]:
    answer = await client.get(f"{DOCUMENTS}/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_pdf_becomes_its_pages_text(client):
    answer = await upload(client, "a.pdf", files.pdf("Mice sleep.", "", "Cats hunt."))
    found = await document(client, "a.pdf")
    assert answer.status_code == 201, answer.text
    assert (found["title"], found["text"]) == ("a", "Mice sleep.\n\nCats hunt.")


async def test_a_word_document_keeps_headings_lists_and_tables(client):
    await upload(client, "guía.docx", files.word())
    found = await document(client, "guía.docx")
    assert found["title"] == "Guía de la clínica"
    assert found["text"] == (
        "# Guía de la clínica\n\nAbrimos a las ocho. 🐈\n\n- Trae tu tarjeta.\n\n"
        "| Día | Hora |\n| Lunes | 8:00 |"
    )


async def test_html_keeps_what_a_reader_sees(client):
    await upload(client, "hours.html", files.HTML)
    found = await document(client, "hours.html")
    assert found["title"] == "Öffnungszeiten & mehr"
    assert found["text"] == (
        "# Hours\n\nWe open at eight.\n\n- Monday\n- Tuesday\n\nDay | Hour\nFriday | 9\n\nkeep\nthis"
    )


@pytest.mark.parametrize(("encoding", "text"), [("windows-1251", "Часы"), ("latin-1", "Años")])
async def test_another_encoding_can_be_stated(client, encoding, text):
    await upload(client, "a.txt", text.encode(encoding), encoding=encoding)
    assert (await document(client, "a.txt"))["text"] == text


async def test_html_says_its_encoding_itself(client):
    html = '<meta charset="windows-1251"><p>Часы работы'
    await upload(client, "a.html", html.encode("windows-1251"))
    assert (await document(client, "a.html"))["text"] == "Часы работы"


async def test_each_row_of_a_table_becomes_a_document(client):
    answer = await upload(client, "faq.csv", FAQ, metadata_columns="topic")
    one, two = answer.json()["documents"]
    found = await document(client, two["id"])
    assert (found["title"], found["text"]) == ("Where?", "In a street,\ntwo lines")
    assert found["metadata"] == {"topic": "place"}
    assert (await search(client, "open", filter={"topic": "hours"}))[0]["document_id"] == one["id"]


async def test_columns_can_be_named(client):
    rows = "Nr;Frage;Antwort\n7;Wann?;Um acht.\n8;Wo?;Hier.\n"
    answer = await upload(
        client, "f.csv", rows, question_column="Frage", answer_column="Antwort", id_column="Nr"
    )
    assert [one["id"] for one in answer.json()["documents"]] == ["f.csv:7", "f.csv:8"]
    assert (await document(client, "f.csv:8"))["text"] == "Hier."


async def test_a_line_of_jsonl_becomes_a_document(client):
    rows = [{"вопрос": "Когда?", "ответ": "В восемь.", "n": 1}, {"вопрос": "Где?", "ответ": "Тут."}]
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    answer = await upload(client, "faq.jsonl", lines)
    assert answer.status_code == 201, answer.text
    assert (await search(client, "восемь"))[0]["title"] == "Когда?"


async def test_a_row_that_left_its_file_is_deleted_and_the_others_stay_as_they_are(client):
    first = await upload(client, "faq.csv", FAQ)
    again = await upload(client, "faq.csv", 'question,answer\nWhere?,"In a street,\ntwo lines"\n')
    gone, kept = first.json()["documents"]
    assert again.json()["documents"] == [kept]
    assert (await client.get(f"{DOCUMENTS}/{gone['id']}")).status_code == 404
    assert {one["title"] for one in await search(client, "open street")} == {"Where?"}


NAMES = [
    ("a.md", "a.md"),
    ("deep/er/guía rápida.md", "deep:er:guía rápida.md"),
    ("what?.md", "what-.md~"),
    ("what*.md", "what-.md~"),
    ("../up.md", "up.md~"),
    ("x" * 300 + ".md", "x" * 191 + "~"),
    ("日本.md", "日本.md"),
    ("???.md", "md~"),
]


async def test_documents_are_called_like_their_files_and_no_two_alike(client):
    await client.put("/v1/collections/docs")
    parts = [("files", (name, b"Text.")) for name, _ in NAMES]
    answer = await client.post(DOCUMENTS, files=parts)
    ids = [one["id"] for one in answer.json()["documents"]]
    assert len(set(ids)) == len(NAMES)
    assert all(one.startswith(start) for one, (_, start) in zip(ids, NAMES, strict=True)), ids
    for one in ids:
        assert (await client.get(f"{DOCUMENTS}/{quote(one)}")).status_code == 200


async def test_metadata_of_the_form_stand_in_every_document(client):
    await upload(client, "a.md", "# A\n\nText.", metadata='{"site": "north"}')
    assert (await document(client, "a.md"))["metadata"] == {"site": "north"}


UNREADABLE = [
    ("scan.pdf", files.pdf("", ""), "OCR"),
    ("broken.pdf", b"%PDF-1.7 and nothing", "no PDF"),
    ("bomb.docx", files.bomb(300), "unpacks to 300 MiB"),
    ("sheet.docx", b"PK\x03\x04", "no Word document"),
    ("empty.html", b"<p> </p>", "no text"),
    ("latin.txt", "one\ntwo\ncafé".encode("latin-1"), "line 3, byte 11"),
    ("nul.md", b"a\n\0", "line 2"),
    ("bad.html", b"<p>\n\xff", "line 2"),
    ("empty.csv", b"question,answer\n", "no rows"),
    ("short.csv", b"question,answer\na,b\nc\n", "line 3"),
    ("blank.csv", b"question,answer\na,b\nc,\n", "line 3"),
    ("quote.csv", b'question,answer\na,b\n"c,d\n', "no CSV"),
    ("other.csv", b"x,y\n1,2\n", "question_column"),
    ("bad.jsonl", b'{"question": "a", "answer": "b"}\n{', "line 2"),
    ("list.jsonl", b"[1]\n", "line 1"),
    ("deep.jsonl", b"[" * 100_000, "line 1"),
]


@pytest.mark.parametrize(("name", "content", "words"), UNREADABLE)
async def test_what_cannot_be_read_is_refused_with_the_place(client, name, content, words):
    answer = await upload(client, name, content)
    assert answer.status_code == 422, answer.text
    assert name in answer.json()["detail"]
    assert words in answer.json()["detail"]
    assert (await client.get("/v1/collections/docs")).json()["waiting"] == 0


async def test_all_files_that_cannot_be_read_are_named_at_once_and_nothing_is_stored(client):
    await client.put("/v1/collections/docs")
    parts = [
        ("files", ("good.md", b"Good.")),
        ("files", ("bad.pdf", b"%PDF")),
        ("files", ("what.exe", b"MZ")),
    ]
    answer = await client.post(DOCUMENTS, files=parts)
    assert answer.status_code == 422
    assert [one["file"] for one in answer.json()["errors"]] == ["bad.pdf", "what.exe"]
    assert (await client.get(DOCUMENTS)).json()["documents"] == []


BAD_FIELDS = [
    {"encoding": "klingon"},
    {"encoding": "zip"},
    {"metadata": "[1]"},
    {"metadata": "{"},
    {"colour": "red"},
    {"question_column": "nowhere"},
]


@pytest.mark.parametrize("fields", BAD_FIELDS)
async def test_a_form_field_that_makes_no_sense_is_refused(client, fields):
    answer = await upload(client, "faq.csv", FAQ, **fields)
    assert answer.status_code in {400, 422}, answer.text


def test_a_file_that_takes_too_long_or_too_much_memory_ends_its_own_process_only():
    nested = b"<div>" * 1_000_000
    with pytest.raises(Unreadable, match="longer than 1 s|memory"):
        sandbox.read("pages", nested, Options(), seconds=1)
    with pytest.raises(Unreadable, match="pages"):
        sandbox.read("pdf", files.pdf("a", "b", "c"), Options(max_pages=2), seconds=20)
