"""Search with the training questions and keep what the ranker would see of each found chunk.

    python -m training.rag.prepare --data DIR --work FOLDER [--tiny]

FOLDER keeps the vectors: a second run embeds nothing again.
"""

import argparse
import random
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from training.rag import corpora
from training.rag.corpora import Corpus, Question
from training.rag.shelf import Seen, Shelf
from training.rag.vectors import Remembering

SEED = 11
MEDICAL_QUESTIONS = 4000
OTHER_QUESTIONS = 1500


@dataclass
class Table:
    """Rows of features, whether each is right, and which question it belongs to."""

    rows: list[np.ndarray] = field(default_factory=list)
    is_right: list[bool] = field(default_factory=list)
    question: list[int] = field(default_factory=list)

    def add(self, number: int, question: Question, seen: Seen, alike: set[str]) -> None:
        """Add what a question found.

        Of a right document the best chunk is an example, the others are none; documents with the
        same question are neither right nor wrong.
        """
        documents: set[str] = set()
        for (place, _), row in zip(seen.head, seen.table, strict=True):
            document = place[0]
            is_right = question.relevance.get(document, 0) > 0
            if (is_right and document in documents) or (not is_right and document in alike):
                continue
            documents.add(document)
            self.rows.append(row)
            self.is_right.append(is_right)
            self.question.append(number)

    def save(self, file: Path) -> None:
        """Write the table."""
        np.savez_compressed(
            file,
            rows=np.array(self.rows, dtype=np.float32),
            is_right=np.array(self.is_right),
            question=np.array(self.question, dtype=np.int32),
        )


def chosen(corpus: Corpus, count: int) -> list[Question]:
    """Return a sample of the questions that may be learned from."""
    usable = [question for question in corpus.questions if not question.is_test]
    return random.Random(SEED).sample(usable, min(count, len(usable)))


def searched(shelf: Shelf, corpus: Corpus, questions: list[Question]) -> Table:
    """Put the questions and tabulate what was found."""
    alike: dict[str, set[str]] = defaultdict(set)
    for question in corpus.questions:
        alike[question.text] |= question.relevance.keys()
    table = Table()
    all_seen = shelf.search([question.text for question in questions])
    for number, (question, seen) in enumerate(zip(questions, all_seen, strict=True)):
        table.add(number, question, seen, alike[question.text])
        if number % 500 == 0:
            print(f"{corpus.name}: {number} of {len(questions)} questions", flush=True)
    return table


def main() -> None:
    """Write one table per corpus."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--tiny", action="store_true")
    given = arguments.parse_args()
    embedder = Remembering(given.work / "vectors.sqlite")
    medical = corpora.medquad(given.data, 200 if given.tiny else 1)
    sets = [(medical, 40 if given.tiny else MEDICAL_QUESTIONS)]
    if not given.tiny:
        others = [corpora.passages(given.data, name) for name in corpora.QA_SETS]
        sets += [(corpus, OTHER_QUESTIONS) for corpus in others]
    for corpus, count in sets:
        table = searched(Shelf(corpus.documents, embedder), corpus, chosen(corpus, count))
        table.save(given.work / f"table-{corpus.name.replace('/', '-')}.npz")


if __name__ == "__main__":
    main()
