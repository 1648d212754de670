"""Score retrieval, ranker and `ask` on open sets, with `ir-measures`.

    python -m training.rag.evaluate --data DIR --work FOLDER [--sets NAME ...] [--out FILE]

MedQuAD: a question against all answers, itself withheld; only diseases that the ranker never saw.
`medquad/11` is every eleventh pair. LiveQA-Med: people's questions against the same answers, by the
judgements of TREC 2017. Cranfield; XQuAD: a question against all 240 paragraphs of its language.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ir_measures
from ir_measures import AP, RR, R, Success, nDCG

from benchmarks.setting import record
from services.rag import ranker
from services.rag.legs import Fused
from services.rag.ranker import LearnedRanker
from services.rag.settings import Settings
from training.rag import corpora
from training.rag.corpora import Corpus, Question
from training.rag.shelf import Seen, Shelf
from training.rag.vectors import Remembering

DEPTH = 100
MEASURES = {
    "recall_at_1": Success @ 1,
    "recall_at_5": Success @ 5,
    "recall_at_10": Success @ 10,
    "recall_at_100": R @ 100,
    "mrr": RR @ 100,
    "map": AP @ 100,
    "ndcg_at_10": nDCG @ 10,
}
"""With one right document, recall at k is whether it is among the first k; with several, one of them."""
RUNS = Path("models/rag-ranker")
OUT = Path("training/rag/results.json")

Ways = dict[str, Callable[[Seen], Fused]]


def ways(learned: LearnedRanker) -> Ways:
    """Return the ways to search, by name."""
    return {
        "dense": lambda seen: list(zip(seen.dense.places, seen.dense.scores, strict=True)),
        "keyword": lambda seen: list(zip(seen.keyword.places, seen.keyword.scores, strict=True)),
        "rrf": lambda seen: seen.rrf,
        "hybrid": lambda seen: seen.fused,
        "ranked": lambda seen: seen.ranked(learned),
    }


def documents(found: Fused) -> list[str]:
    """Return the documents in the order of their best chunks."""
    return list(dict.fromkeys(place[0] for place, _ in found))[:DEPTH]


def measure(shelf: Shelf, questions: list[Question], chosen: Ways) -> dict[str, Any]:
    """Put all questions and score every way."""
    runs: dict[str, dict[str, dict[str, float]]] = {name: {} for name in chosen}
    started = time.perf_counter()
    all_seen = shelf.search([question.text for question in questions])
    for question, seen in zip(questions, all_seen, strict=True):
        for name, way in chosen.items():
            order = documents(way(seen))
            # Scores fall with the rank, so that nobody orders equal ones otherwise.
            runs[name][question.id] = {one: 1 / rank for rank, one in enumerate(order, 1)}
    wanted = {question.id: question.relevance for question in questions}
    print(f"{len(questions)} questions in {time.perf_counter() - started:.0f} s", flush=True)
    return {name: score(wanted, run) for name, run in runs.items()}


def score(wanted: dict[str, dict[str, int]], run: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return the mean of every measure."""
    found = ir_measures.calc_aggregate(list(MEASURES.values()), wanted, run)
    return {name: round(float(found[one]), 4) for name, one in MEASURES.items()}


def sets(data: Path) -> dict[str, Callable[[], tuple[Corpus, list[Question]]]]:
    """Return what to measure, by name: documents, and the questions that may be used."""

    def medical(every: int) -> tuple[Corpus, list[Question]]:
        corpus = corpora.medquad(data, every)
        return corpus, [one for one in corpus.questions if one.is_test]

    def plain(corpus: Corpus) -> tuple[Corpus, list[Question]]:
        return corpus, corpus.questions

    return {
        "xquad.en": lambda: plain(corpora.xquad(data, "en")),
        "xquad.es": lambda: plain(corpora.xquad(data, "es")),
        "xquad.ru": lambda: plain(corpora.xquad(data, "ru")),
        "cranfield": lambda: plain(corpora.cranfield(data)),
        "medquad/11": lambda: medical(corpora.EVERY),
        "medquad": lambda: medical(1),
    }


def measured(
    data: Path, names: list[str], embedder: Remembering, learned: LearnedRanker
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each set's scores."""
    chosen = ways(learned)
    for name in names:
        corpus, questions = sets(data)[name]()
        shelf = Shelf(corpus.documents, embedder)
        about = {"documents": len(corpus.documents), "chunks": len(shelf.pieces)}
        yield name, {**about, "questions": len(questions), **measure(shelf, questions, chosen)}
        if name == "medquad":
            asked = corpora.liveqa(data).questions
            yield "liveqa", {**about, "questions": len(asked), **measure(shelf, asked, chosen)}
        if name == "medquad/11":
            every = corpus.questions
            yield (
                "medquad/11, all",
                {
                    **about,
                    "questions": len(every),
                    **measure(shelf, every, chosen),
                },
            )


def main() -> None:
    """Measure, print, and write the results with machine and commit."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--ranker", type=Path, help="a folder in place of the embedded one")
    arguments.add_argument("--sets", nargs="*")
    arguments.add_argument("--out", type=Path, default=OUT)
    given = arguments.parse_args()
    embedder = Remembering(given.work / "vectors.sqlite")
    if given.ranker:
        learned = LearnedRanker.from_bytes((given.ranker / ranker.FILE).read_bytes(), "given")
    else:
        loaded = ranker.load(Settings())
        assert isinstance(loaded, LearnedRanker)
        learned = loaded
    names = given.sets or list(sets(given.data))
    results = {}
    for name, row in measured(given.data, names, embedder, learned):
        results[name] = row
        print(name, json.dumps(row, indent=1), flush=True)
    record(given.out, results)


if __name__ == "__main__":
    main()
