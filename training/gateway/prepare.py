"""Assemble the router's corpus from our phrases and the public sets.

    python -m training.gateway.prepare --data DIR --out build/router [--tiny]

Without --data the corpus is our phrases alone.
Writes `corpus.tsv`: split, language, intent, has_context, images, source, text; and `phrases.tsv`: intent,
language, text of some clean phrases, for the router's explanations. Texts are one line each.
"""

import argparse
import csv
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from training.gateway import public
from training.gateway.grammar import Grammar, split_of
from training.gateway.noise import dress, gibberish, roughen

PHRASES = Path(__file__).parent / "phrases"
LANGUAGES = ("en", "es", "ru")
ROWS = {"train": 2200, "dev": 400}  # authored rows per language and intent
TINY_ROWS = {"train": 30, "dev": 15}
# How many of the authored rows are repeated with a context (or pictures) beside them, of 100.
WITH_CONTEXT = {
    "draw": 4,
    "blend": 2,
    "classify": 5,
    "answer": 15,
    "write": 12,
    "chat": 5,
    "other": 3,
}
EXAMPLES = 60  # phrases that the served router names as nearest, per language and intent
LONGEST_EXAMPLE = 90
SEED = 7


@dataclass(frozen=True, slots=True)
class Row:
    """One message with its right intent."""

    split: str
    language: str
    intent: str
    has_context: int
    images: int
    source: str
    text: str


def authored(
    language: str, grammar: Grammar, split: str, count: int, rng: random.Random
) -> Iterator[Row]:
    """Draw messages from the grammar: every template in turn, roughened like typed text."""
    openers, closers = grammar.lists["opener"], grammar.lists["closer"]
    for intent, templates in grammar.intents.items():
        order = [
            t
            for _ in range(count // len(templates) + 1)
            for t in rng.sample(templates, len(templates))
        ]
        for template in order[:count]:
            text = grammar.expand(template, rng)
            if "{tag}" not in template and intent != "other":
                text = dress(text, openers, closers, rng)
            yield Row(split, language, intent, 0, 0, "authored", roughen(text, language, rng))


def shaped(rows: list[Row], grammar: Grammar, rng: random.Random) -> Iterator[Row]:
    """Repeat some rows with a context or pictures attached, which changes what a request means."""
    for row in rows:
        if rng.randrange(100) < WITH_CONTEXT.get(row.intent, 0):
            yield replace(row, has_context=1)
        if row.intent == "ask" and rng.random() < 0.3:
            yield replace(row, intent="answer", has_context=1)
        if row.intent == "answer" and rng.random() < 0.25:
            question = grammar.expand("{passage_question}", rng)
            yield replace(row, has_context=1, text=roughen(question, row.language, rng))
        if row.intent == "blend" and rng.random() < 0.3:
            yield replace(row, images=rng.choice([1, 2, 2, 2, 3]))
        if row.intent == "draw" and rng.random() < 0.15:
            yield replace(row, intent="blend", images=2)
        if row.intent in {"draw", "classify", "other", "chat", "write"} and rng.random() < 0.02:
            yield replace(row, images=1)


def examples(seed: int = SEED) -> Iterator[tuple[str, str, str]]:
    """Yield clean phrases of every intent and language: (intent, language, text), no two alike."""
    rng = random.Random(seed)
    for language in LANGUAGES:
        grammar = Grammar.read(PHRASES / f"{language}.toml")
        for intent, templates in grammar.intents.items():
            drawn = (grammar.expand(t, rng) for t in rng.sample(templates, len(templates)))
            short = dict.fromkeys(text for text in drawn if len(text) <= LONGEST_EXAMPLE)
            yield from ((intent, language, text) for text in list(short)[:EXAMPLES])


def nonsense(language: str, split: str, count: int, rng: random.Random) -> Iterator[Row]:
    """Yield random keys: nobody's intent."""
    for _ in range(count):
        yield Row(split, language, "other", 0, 0, "gibberish", gibberish(language, rng))


def published(data: Path, rng: random.Random, share: float) -> Iterator[Row]:
    """Yield messages of the public sets that clearly belong to one intent."""
    for source in public.sources(data):
        wanted = max(5, round(source.limit * share))
        for text in rng.sample(source.texts, min(wanted, len(source.texts))):
            yield Row(split_of(text), source.language, source.intent, 0, 0, source.name, text)


def assemble(data: Path | None, *, tiny: bool) -> list[Row]:
    """Build the whole corpus, the same for the same inputs."""
    rng = random.Random(SEED)
    wanted = TINY_ROWS if tiny else ROWS
    rows = list(published(data, rng, 0.05 if tiny else 1.0)) if data else []
    for language in LANGUAGES:
        fillers = public.fillers(data, language) if data else {}
        whole = Grammar.read(PHRASES / f"{language}.toml").extended(fillers)
        for split, count in wanted.items():
            grammar = whole.of_split(split)
            drawn = list(authored(language, grammar, split, count, rng))
            rows += [
                *drawn,
                *shaped(drawn, grammar, rng),
                *nonsense(language, split, count // 12, rng),
            ]
    return list(dict.fromkeys(replace(row, text=" ".join(row.text.split())) for row in rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the corpus."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the public sets (see README.md)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true", help="a corpus of seconds, for CI")
    options = parser.parse_args(arguments)
    rows = assemble(options.data, tiny=options.tiny)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "corpus.tsv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(astuple(row) for row in rows)
    lines = ("\t".join(example) + "\n" for example in examples())
    (options.out / "phrases.tsv").write_text("".join(lines), encoding="utf-8")
    for key, count in sorted(Counter((r.split, r.language, r.intent) for r in rows).items()):
        print(*key, count)


if __name__ == "__main__":
    main()
