"""Documents with questions whose right documents are known.

MedQuAD's title is the disease that it is about; the question itself is nowhere in a document.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.rag.schemas import NewDocument

TEST_SHARE = 5  # one disease in so many is kept from training
EVERY = 11  # the small set of MedQuAD: one pair in so many
QA_SETS = ("ru_tydiqa_goldp_dev", "es_squad_es_dev_small", "en_squadshifts_wiki")


@dataclass(frozen=True)
class Question:
    """A question and how relevant documents are to it, by id; 0 and less is not."""

    id: str
    text: str
    relevance: dict[str, int]
    is_test: bool = True
    """Whether it may be measured with: the ranker has not learned from it."""


@dataclass(frozen=True)
class Corpus:
    """Documents and questions to them."""

    name: str
    documents: list[NewDocument]
    questions: list[Question] = field(default_factory=list)


def medquad(folder: Path, every: int = 1) -> Corpus:
    """Return answers of MedQuAD and their questions; those of one disease in five are tests."""
    rows = list(lines(folder / "medquad/medquad.jsonl.gz"))[::every]
    documents = [
        NewDocument(id=document_id(row["id"]), title=row["focus"] or "", text=row["answer"])
        for row in rows
    ]
    questions = [
        Question(row["id"], row["question"], {document_id(row["id"]): 1}, is_kept(row["focus"]))
        for row in rows
    ]
    return Corpus("medquad" if every == 1 else f"medquad/{every}", documents, questions)


def document_id(name: str) -> str:
    """Make an id of MedQuAD one of ours, which have no slash."""
    return name.replace("/", "-")


def is_kept(focus: str | None) -> bool:
    """Tell whether a disease is kept from training; every spelling of its case is the same."""
    digest = hashlib.sha256((focus or "").strip().lower().encode()).digest()
    return digest[0] % TEST_SHARE == 0


def liveqa(folder: Path) -> Corpus:
    """Return the people's questions of LiveQA-Med, judged on answers of MedQuAD; no documents.

    Judgements 3 (incomplete) and 4 (excellent) are relevant, as 1 and 2. Answers that nobody judged count
    as wrong: low figures.
    """
    judged: dict[str, dict[str, int]] = {}
    for qid, answer, grade in table(folder / "retrieval/liveqa_med_medquad_qrels.tsv.gz"):
        judged.setdefault(qid, {})[document_id(answer)] = max(0, int(grade) - 2)
    questions = [
        Question(row["qid"], row["summary"] or row["message"], judged[row["qid"]])
        for row in lines(folder / "retrieval/liveqa_med_questions.jsonl.gz")
        if any(judged.get(row["qid"], {}).values())
    ]
    return Corpus("liveqa", [], questions)


def cranfield(folder: Path) -> Corpus:
    """Return 1,400 abstracts on aerodynamics; relevance 1 (best) to 4 (least) becomes 4 to 1."""
    judged: dict[str, dict[str, int]] = {}
    for qid, document, grade in table(folder / "retrieval/cranfield_qrels.tsv.gz"):
        judged.setdefault(qid, {})[document] = 5 - int(grade) if int(grade) > 0 else 0
    documents = [
        NewDocument(id=str(row["id"]), title=row["title"][:500], text=row["text"])
        for row in lines(folder / "retrieval/cranfield_docs.jsonl.gz")
        if row["text"].strip()
    ]
    questions = [
        Question(str(row["qid"]), row["text"], judged[str(row["qid"])])
        for row in lines(folder / "retrieval/cranfield_queries.jsonl.gz")
        if any(judged.get(str(row["qid"]), {}).values())
    ]
    return Corpus("cranfield", documents, questions)


def xquad(folder: Path, language: str) -> Corpus:
    """Return one language's 240 paragraphs, without titles, and 1,190 questions."""
    raw = gzip.decompress((folder / f"xquad/xquad.{language}.json.gz").read_bytes())
    documents: list[NewDocument] = []
    questions: list[Question] = []
    for article in json.loads(raw)["data"]:
        for paragraph in article["paragraphs"]:
            identity = f"p{len(documents)}"
            documents.append(NewDocument(id=identity, text=paragraph["context"]))
            questions += [
                Question(one["id"], one["question"], {identity: 1}) for one in paragraph["qas"]
            ]
    return Corpus(f"xquad.{language}", documents, questions)


def passages(folder: Path, name: str) -> Corpus:
    """Return a question answering set for training: every context is a document of its own."""
    places: dict[str, str] = {}
    documents: list[NewDocument] = []
    questions: list[Question] = []
    for row in lines(folder / f"qa/{name}.jsonl.gz"):
        if row.get("xquad_overlap"):
            continue
        text = row["context"]
        if text not in places:
            places[text] = f"p{len(places)}"
            documents.append(NewDocument(id=places[text], text=text, language=row["lang"]))
        relevance = {places[text]: 1}
        questions.append(Question(str(row["id"]), row["question"], relevance, is_test=False))
    return Corpus(name, documents, questions)


def lines(file: Path) -> Iterator[dict[str, Any]]:
    """Read a file of one JSON object per line."""
    with gzip.open(file, "rt", encoding="utf-8") as content:
        yield from map(json.loads, content)


def table(file: Path) -> Iterator[list[str]]:
    """Read a file of tab separated values, without its heading."""
    with gzip.open(file, "rt", encoding="utf-8") as content:
        next(content)
        for line in content:
            yield line.rstrip("\n").split("\t")
