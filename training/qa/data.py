"""Questions with their paragraphs: the open training sets, XQuAD for testing, and Russian cloze questions.

Files in `--data`: `qa/*.jsonl(.gz)`, one `{id, lang, source, title, context, question, answers: [{text, answer_start}]}` per
line, and `xquad/xquad.{en,es,ru}.json(.gz)` in SQuAD 1.1 form. README.md says where they come from.
"""

import gzip
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Example:
    """A question on a context; `answers` are (text, first character); empty means that there is none."""

    lang: str
    source: str
    title: str
    context: str
    question: str
    answers: tuple[tuple[str, int], ...]


def read_examples(data: Path, name: str) -> list[Example]:
    """Read one `qa/` file, without the Spanish paragraphs that are also in XQuAD."""
    rows = [json.loads(line) for line in _read(data / "qa" / f"{name}.jsonl").split("\n") if line]
    return [_example(row) for row in rows if not row.get("xquad_overlap", False)]


def read_xquad(data: Path, lang: str) -> list[Example]:
    """Read one language of XQuAD (Artetxe et al. 2020): 1,190 questions, for testing only."""
    articles = json.loads(_read(data / "xquad" / f"xquad.{lang}.json"))["data"]
    return [
        _example(
            {
                **question,
                "lang": lang,
                "source": "xquad",
                "title": article.get("title", ""),
                "context": paragraph["context"],
            }
        )
        for article in articles
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]


# What a gap of each kind is asked with; the first pattern that matches counts.
GAPS = (
    (re.compile(r"\b1\d{3}\b|\b20\d{2}\b"), ("когда", "в каком году")),
    (re.compile(r"\b\d+(?:[.,]\d+)?\b"), ("сколько", "какое число")),
    (re.compile(r"(?<=[а-я,] )[А-ЯЁ][а-яё]+(?: [А-ЯЁ][а-яё]+)*"), ("кто", "что", "где", "какой")),
    (re.compile(r"«[^»]{2,40}»"), ("что", "как называется")),
)


def cloze(example: Example, count: int, draw: random.Random) -> list[Example]:
    """Make up to `count` questions from sentences of a Russian context by asking for a piece of them.

    The remaining words are thinned out and lose endings, as in a real question the wording differs. After
    Lewis et al. 2019 (unsupervised question answering by cloze translation).
    """
    sentences = list(re.finditer(r"[^.!?\n]{40,250}[.!?]", example.context))
    draw.shuffle(sentences)
    made = [_ask(example, sentence, draw) for sentence in sentences[: 2 * count]]
    return [question for question in made if question][:count]


def _ask(example: Example, sentence: re.Match[str], draw: random.Random) -> Example | None:
    gaps = [(gap, words) for pattern, words in GAPS for gap in pattern.finditer(sentence[0])]
    if not gaps:
        return None
    gap, words = draw.choice(gaps)
    left = sentence[0][: gap.start()].split()[-8:]
    right = sentence[0][gap.end() :].split()[:8]
    kept = [_inflect(word, draw) for word in left + right if draw.random() > 0.35]
    question = " ".join([draw.choice(words), *kept]).rstrip(".,;:!? ") + "?"
    answer = (gap[0], sentence.start() + gap.start())
    return Example(example.lang, "cloze", example.title, example.context, question, (answer,))


def _inflect(word: str, draw: random.Random) -> str:
    word = word.strip("()[]«»,;:")
    if len(word) < 6 or not word.isalpha() or draw.random() < 0.5:
        return word
    return word[: -draw.choice((1, 2))] + draw.choice(("", "а", "ы", "ом", "у", "ой"))


def _example(row: dict[str, Any]) -> Example:
    answers = tuple((answer["text"], answer["answer_start"]) for answer in row["answers"])
    return Example(
        row["lang"], row["source"], row["title"], row["context"], row["question"], answers
    )


def _read(path: Path) -> str:
    packed = path.with_name(path.name + ".gz")
    return (gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()).decode()
