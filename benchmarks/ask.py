"""How often `ask` cites the right sentence, and how often it answers what no document answers.

    python -m benchmarks.ask --data DIR

DIR holds `xquad.en.json[.gz]`, `xquad.es.json[.gz]` and `xquad.ru.json[.gz]` of
https://github.com/google-deepmind/xquad (CC BY-SA 4.0). Each language's 240 paragraphs are one
collection. Every sampled question is asked twice: of all paragraphs, where a citation is right if
it holds the gold answer at its place, and with its own paragraph left out, where any answer is
false. Every second question fits the weights, which are printed; what is reported is how the
service's own weights do on the others. Then questions about `local/knowledge` are asked.
"""

import argparse
import asyncio
import gzip
import json
import math
import random
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from asgi_lifespan import LifespanManager
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.retrieval import LANGUAGES, index, ingest_of, spaces_of
from benchmarks.setting import RESULTS, record
from kit.batching import Batcher
from kit.client import ServiceClient
from kit.metrics import Metrics
from services.qa.app import create_app as create_qa
from services.rag import evidence, model, postgres, ranker
from services.rag.answers import Answerer
from services.rag.database import Database, opened
from services.rag.evidence import Candidate, Signs
from services.rag.filters import Filter
from services.rag.followups import FollowUps
from services.rag.language import detect
from services.rag.memory import Memory
from services.rag.model import Vector
from services.rag.postings import Key
from services.rag.ranker import Ranker
from services.rag.retrieval import Retrieval
from services.rag.schemas import NewDocument
from services.rag.settings import Settings
from services.rag.spaces import Spaces
from services.rag.store import Store
from training.qa.scores import exact, f1

KNOWLEDGE = Path(__file__).parents[1] / "local" / "knowledge"
KNOWLEDGE_QUESTIONS = Path(__file__).with_name("knowledge_questions.json")
PARTS = 6  # a question's paragraph is left out together with every sixth other one
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
L2 = 0.2  # on the weights, against 480 questions' log likelihood

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """A question, and where its paragraph answers it."""

    text: str
    document: str
    part: int
    start: int
    end: int
    gold: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What became of one question: each candidate's signs, probability and whether it is right."""

    signs: list[Signs]
    scores: list[float]
    right: list[bool]
    texts: list[str]
    milliseconds: float
    exact: float = 0.0
    """Whether the words marked in the best sentence are a gold answer, as SQuAD's script sees it."""
    f1: float = 0.0


class Remembering(httpx2.AsyncBaseTransport):
    """Calls an app in this process, and never twice with the same body: answers do not change."""

    def __init__(self, app: Any) -> None:
        self._app = httpx2.ASGITransport(app)
        self._known: dict[bytes, bytes] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer from memory, or ask."""
        body = await request.aread()
        if body not in self._known:
            answer = await self._app.handle_async_request(request)
            content = await answer.aread()
            if not body or not answer.is_success:
                return httpx2.Response(answer.status_code, content=content)
            self._known[body] = content
        return httpx2.Response(200, content=self._known[body])


Scores = Callable[[Asked], list[float]]


@dataclass(frozen=True)
class System:
    """The service's parts, without HTTP in front of them; the real qa service is behind them."""

    answerer: Answerer
    store: Store
    ingest: Any

    async def ask(self, collection: str, question: Question, where: Filter = None) -> Asked:
        """Ask as the service does, and say which candidates hold the gold answer."""
        started = time.perf_counter()
        asked = await self.answerer.find(
            ("bench", collection), question.text, conversation=None, where=where
        )
        found = await self.answerer.candidates(asked)
        signs = [one.signs for one in found]
        weights = evidence.WEIGHTS[detect(question.text)]
        scores = evidence.probabilities(signs, weights)
        milliseconds = (time.perf_counter() - started) * 1000
        right = []
        for one in found:
            start, end = one.passage.start + one.place.start, one.passage.start + one.place.end
            holds = start <= question.start and question.end <= end
            right.append(holds and one.passage.document_id == question.document)
        texts = [one.passage.text[one.place.start : one.place.end] for one in found]
        words = _words(found, scores)
        language = detect(question.text)
        return Asked(
            *(signs, scores, right, texts, milliseconds),
            exact=exact(words, question.gold, language) if question.gold else 0.0,
            f1=f1(words, question.gold, language) if question.gold else 0.0,
        )


def _words(found: list[Candidate], scores: list[float]) -> str:
    """Return the words that `ask` marks in the likeliest sentence, or the whole of it."""
    if not found:
        return ""
    best = found[max(range(len(found)), key=scores.__getitem__)]
    span = best.span or best.place
    return best.passage.text[span.start : span.end]


@asynccontextmanager
async def running(folder: Path) -> AsyncGenerator[System]:
    """Run the database, the embedder and the qa service in this process."""
    settings, metrics = Settings(), Metrics("bench")
    embedder = model.load(settings)
    batcher: Batcher[str, Vector] = Batcher(embedder.embed, metrics=metrics, tokens=model.cost)
    async with (
        LifespanManager(create_qa(), startup_timeout=60, shutdown_timeout=60) as qa,
        ServiceClient("qa", "http://qa", transport=Remembering(qa.app)) as client,
        postgres.running(folder) as url,
        opened(url, connections=settings.database_connections) as database,
        spaces_of(database, embedder, batcher) as known,
        ingest_of(database, known, metrics, settings.chunk_words).running() as ingest,
    ):
        while not (await client.request("GET", "/readyz")).is_success:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        yield System(_answerer(settings, database, known, client), Store(database), ingest)


def _answerer(settings: Settings, database: Database, known: Spaces, qa: ServiceClient) -> Answerer:
    weights = settings.dense_weights
    loaded = ranker.load(settings)

    async def ranker_of(_: Key) -> Ranker | None:
        return loaded

    retrieval = Retrieval(database, known, dense_weights=weights, ranker_of=ranker_of)
    memory = Memory(database, days=settings.conversation_days)
    return Answerer(
        *(retrieval, memory, FollowUps(memory, None, turns=settings.memory_turns), qa),
        passages=settings.passages,
        threshold=settings.answer_threshold,
    )


def read(folder: Path, language: str) -> tuple[list[NewDocument], list[Question]]:
    """Return one language's paragraphs and questions, in a fixed random order."""
    file = next(folder.glob(f"**/xquad.{language}.json*"))
    raw = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    documents: list[NewDocument] = []
    questions: list[Question] = []
    for article in json.loads(raw)["data"]:
        for paragraph in article["paragraphs"]:
            name, part = f"p{len(documents)}", len(documents) % PARTS
            text = paragraph["context"]
            documents.append(NewDocument(id=name, text=text, metadata={"part": part}))
            for one in paragraph["qas"]:
                gold = one["answers"][0]
                end = gold["answer_start"] + len(gold["text"])
                gold_texts = tuple(answer["text"] for answer in one["answers"])
                questions.append(
                    Question(one["question"], name, part, gold["answer_start"], end, gold_texts)
                )
    random.Random(1).shuffle(questions)
    return documents, questions


def probabilities(signs: Array, weights: Array) -> Array:
    """Return the candidates' probabilities as the service computes them."""
    logits = np.append(signs @ weights, 0.0)
    shares = np.exp(logits - logits.max())
    return np.asarray(shares[:-1] / shares.sum())


def fitted(asked: Sequence[Asked]) -> list[float]:
    """Return the weights that make the right candidates, or none, likeliest."""
    rows = [(np.array(one.signs), np.array(one.right)) for one in asked if one.signs]

    def loss(weights: Array) -> float:
        total = L2 * float(weights @ weights)
        for signs, right in rows:
            shares = probabilities(signs, weights)
            likelihood = shares[right].sum() if right.any() else 1 - shares.sum()
            total -= float(np.log(max(likelihood, 1e-12)))
        return total

    found = minimize(loss, np.zeros(len(Signs._fields)), method="L-BFGS-B")
    return [round(float(weight), 2) for weight in found.x]


def quality(
    answerable: Sequence[Asked],
    unanswerable: Sequence[Asked],
    threshold: float,
    scores: Scores = attrgetter("scores"),
) -> dict[str, float]:
    """Return how often the best candidate is shown and right, and shown where none is right."""
    tops = [_top(one, scores) for one in answerable]
    shown = [is_right for score, is_right in tops if score >= threshold]
    false = [_top(one, scores)[0] >= threshold for one in unanswerable]
    return {
        "threshold": threshold,
        "answered": round(len(shown) / len(tops), 3),
        "precision": round(sum(shown) / len(shown), 3) if shown else 0.0,
        "coverage": round(sum(shown) / len(tops), 3),
        "false_answers": round(sum(false) / len(false), 3),
        **_words_right(answerable, tops, threshold),
    }


def _words_right(
    asked: Sequence[Asked], tops: Sequence[tuple[float, bool]], threshold: float
) -> dict[str, float]:
    """Return exact match and F1 of the marked words, over all questions: no answer counts as 0."""
    shown = [one for one, (score, _) in zip(asked, tops, strict=True) if score >= threshold]
    return {
        "exact_match": round(sum(one.exact for one in shown) / len(asked), 3),
        "f1": round(sum(one.f1 for one in shown) / len(asked), 3),
    }


def qa_alone(asked: Asked) -> list[float]:
    """Return the candidates' scores when nothing counts but what qa read, for comparison."""
    return [1 / (1 + math.exp(-one.reading)) for one in asked.signs]


def _top(asked: Asked, scores: Scores = attrgetter("scores")) -> tuple[float, bool]:
    pairs = zip(scores(asked), asked.right, strict=True)
    return max(pairs, key=lambda pair: pair[0], default=(0.0, False))


async def measure(system: System, data: Path, language: str, limit: int) -> dict[str, Any]:
    """Index, ask, fit on one half and measure on the other."""
    documents, questions = read(data, language)
    await index(system.store, system.ingest, language, documents)
    pairs = []
    for question in questions[:limit]:
        others = [part for part in range(PARTS) if part != question.part]
        with_it = await system.ask(language, question)
        pairs.append((with_it, await system.ask(language, question, {"part": others})))
    seen, unseen = pairs[::2], pairs[1::2]
    answerable, unanswerable = zip(*unseen, strict=True)
    threshold = Settings().answer_threshold
    return {
        "language": language,
        "questions": len(unseen),
        "best_is_right": round(statistics.mean(_top(one)[1] for one in answerable), 3),
        **quality(answerable, unanswerable, threshold),
        "p50_ms": round(statistics.median(one.milliseconds for one in answerable), 1),
        "by_threshold": [quality(answerable, unanswerable, at) for at in THRESHOLDS],
        "qa_alone": quality(answerable, unanswerable, 0.5, qa_alone),
        "weights": evidence.WEIGHTS[language],
        "fitted_weights": fitted([one for pair in seen for one in pair]),
    }


async def check(system: System) -> list[dict[str, Any]]:
    """Ask about the bundled documents and print every answer."""
    files = sorted(KNOWLEDGE.glob("*.md"))
    documents = [
        NewDocument(id=one.stem, title=_title(one), text=one.read_text(encoding="utf-8"))
        for one in files
    ]
    await index(system.store, system.ingest, "knowledge", documents)
    rows = []
    known = json.loads(KNOWLEDGE_QUESTIONS.read_text(encoding="utf-8"))
    for language, questions in known.items():
        for question, gold in questions:
            asked = await system.ask("knowledge", Question(question, "", 0, 0, 0))
            score, text = max(zip(asked.scores, asked.texts, strict=True))
            answered = score >= Settings().answer_threshold
            holds = gold is not None and gold in " ".join(text.split())
            verdict = ("right" if holds else "WRONG") if answered else "no answer"
            print(f"{verdict:9} {score:.2f} {question} -> {' '.join(text.split())}")
            rows.append({"language": language, "question": question, "verdict": verdict})
    return rows


def _title(file: Path) -> str:
    return file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")


async def run(data: Path, folder: Path, limit: int) -> dict[str, Any]:
    """Check and measure."""
    async with running(folder) as system:
        checked = await check(system)
        rows = []
        for language in LANGUAGES:
            rows.append(await measure(system, data, language, limit))
            print(json.dumps(rows[-1]))
    return {"xquad": rows, "knowledge": checked}


def main() -> None:
    """Measure, print, and write the results with the machine and the commit."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--limit", type=int, default=240, help="questions per language")
    arguments.add_argument("--out", type=Path, default=RESULTS / "ask.json")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="rag-") as name:
        Path(name).chmod(0o711)  # as root, the server runs as another user
        results = asyncio.run(run(given.data, Path(name) / "data", given.limit))
    record(given.out, results, limit=given.limit)


if __name__ == "__main__":
    main()
