"""The bundled knowledge base is found and answers with the real models, in every language."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from services.qa.app import create_app as create_qa
from services.rag.app import create_app
from services.rag.chunking import cut
from services.rag.model import load
from services.rag.schemas import Chunking
from services.rag.settings import Settings
from tests.rag.support import fill, search
from tests.support import Network, serve

KNOWLEDGE = Path(__file__).parents[2] / "local" / "knowledge"
pytestmark = pytest.mark.weights

QUESTIONS = [
    ("How many vacation days do employees get?", "time-off.en"),
    ("Is the clinic open on Saturday?", "visits.en"),
    ("What happens when no document supports an answer?", "switchboard.en"),
    ("How can I save a copy of the embedded database?", "operations.en"),
    ("¿Cuántos días de vacaciones tienen los empleados?", "vacaciones.es"),
    ("¿Cuánto cuesta anular una cita?", "visitas.es"),
    ("¿Qué archivos se pueden subir?", "switchboard.es"),
    ("Сколько дней отпуска у сотрудников?", "otpusk.ru"),
    ("Во сколько открывается клиника в субботу?", "priyom.ru"),
    ("Где хранятся документы?", "switchboard.ru"),
]


@pytest.fixture(scope="module")
async def filled(database_url: str) -> AsyncGenerator[httpx2.AsyncClient]:
    qa = create_qa()
    settings = Settings(database_url=SecretStr(database_url), qa_url="http://qa")
    app = create_app(settings, network=Network({"qa": qa}))
    documents = [{"id": one.stem, "text": one.read_text()} for one in KNOWLEDGE.glob("*.md")]
    async with serve(qa), serve(app) as client:
        client.headers["X-Tenant"] = "knowledge"
        await fill(client, *documents)
        yield client


@pytest.mark.parametrize(("question", "document"), QUESTIONS)
async def test_a_question_finds_the_document_that_answers_it(filled, question, document):
    assert (await search(filled, question, k=3))[0]["document_id"] == document


ANSWERS = [
    ("How many vacation days do employees get?", "26 vacation days"),
    ("How long are medical records kept?", "ten years"),
    ("¿Cuántos días de vacaciones tienen los empleados?", "26 días de vacaciones"),
    ("¿Dónde está el edificio principal?", "calle del Muelle 12"),
    ("Сколько дней отпуска у сотрудников?", "26 дней отпуска"),
    ("Сколько часов длится рабочая неделя?", "38 часов"),
    ("Who founded the clinic?", None),
    ("¿Quién fundó la clínica?", None),
    ("Кто основал клинику?", None),
]


@pytest.mark.parametrize(("question", "words"), ANSWERS)
async def test_what_the_documents_know_is_answered_and_nothing_else(filled, question, words):
    asked = await filled.post("/v1/collections/docs/ask", json={"question": question})
    answer = asked.json()["answer"]
    assert words in answer if words else answer is None


async def test_meaning_is_found_without_a_common_word(filled):
    (best,) = await search(filled, "physician illness salary absent ailing", mode="dense", k=1)
    assert best["document_id"] == "time-off.en"


def test_a_text_longer_than_the_window_counts_to_its_end():
    embedder = load(Settings())
    start = "The weather was mild. " * 150
    plain, other = embedder.embed([start, start + "Volcanoes erupt. " * 150])
    assert plain @ plain == pytest.approx(1.0, abs=1e-3)
    assert plain @ other < 0.95


def test_tokens_are_counted_as_the_embedder_reads_them():
    assert load(Settings()).count_tokens("Volcanoes erupt.") > 3  # "volcanoes" is in pieces


def test_a_budget_of_tokens_holds_with_the_real_tokenizer():
    embedder = load(Settings())
    text = "Вулканы извергаются редко. Volcanoes erupt 🌋 seldom, e.g. in 1991. " * 40
    spans = cut(
        text, Chunking(max_tokens=64), default_words=160, count_tokens=embedder.count_tokens
    )
    sizes = [embedder.count_tokens(text[span.start : span.end]) for span in spans]
    assert max(sizes) <= 64
    assert len(sizes) < 2 * sum(sizes) / 64
