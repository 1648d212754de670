"""The bundled knowledge base is found with the real embedder, in every language."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from services.rag.app import create_app
from services.rag.model import load
from services.rag.settings import Settings
from tests.rag.support import fill, search
from tests.support import serve

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
    app = create_app(Settings(database_url=SecretStr(database_url)))
    documents = [{"id": one.stem, "text": one.read_text()} for one in KNOWLEDGE.glob("*.md")]
    async with serve(app) as client:
        client.headers["X-Tenant"] = "knowledge"
        await fill(client, *documents)
        yield client


@pytest.mark.parametrize(("question", "document"), QUESTIONS)
async def test_a_question_finds_the_document_that_answers_it(filled, question, document):
    assert (await search(filled, question, k=3))[0]["document_id"] == document


async def test_meaning_is_found_without_a_common_word(filled):
    (best,) = await search(filled, "physician illness salary absent ailing", mode="dense", k=1)
    assert best["document_id"] == "time-off.en"


def test_a_text_longer_than_the_window_counts_to_its_end():
    embedder = load(Settings())
    start = "The weather was mild. " * 150
    plain, other = embedder.embed([start, start + "Volcanoes erupt. " * 150])
    assert plain @ plain == pytest.approx(1.0, abs=1e-3)
    assert plain @ other < 0.95
