"""Score XQuAD and the held-out questions: `python -m training.qa.evaluate --data DIR --model models/qa`.

`--variant` chooses the torch model or one of the ONNX graphs; `--fit` fits the no-answer threshold on the held-out
questions and writes it to config.json first.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from tokenizers import Tokenizer

from training.exported import VARIANTS, Scorer, open_model
from training.qa.data import Example, read_xquad
from training.qa.scores import auroc, exact, f1, separating_threshold
from training.qa.tokenizer import transliterating_tokenizer
from training.qa.train import MAX_TOKENS, SEED, split, unanswerable
from training.qa.windows import best_span, encode, windows
from training.recipe import buckets, padded, seeded, update_report, write_json

OVERLAP = 64  # context tokens that neighbouring windows share
LANGUAGES = ("en", "es", "ru")
UNANSWERABLE_ROWS = 300  # per set; enough for the refusal rate to within 3 points


@dataclass(frozen=True)
class Answer:
    """The best span of a context and its log odds against "no answer"."""

    text: str
    score: float


@torch.no_grad()
def answer(
    model: Scorer, tokenizer: Tokenizer, examples: Sequence[Example], max_length: int
) -> list[Answer]:
    """Return the best answer for each example, over all windows of its context."""
    rows = encode(tokenizer, examples)
    parts = [(n, part) for n, row in enumerate(rows) for part in windows(row, max_length, OVERLAP)]
    best = [(-float("inf"), 0, 0)] * len(rows)
    for batch in buckets([len(part.ids) for _, part in parts], 4096, random.Random(0)):
        drawn = [parts[number] for number in batch]
        ids = padded([part.ids for _, part in drawn])
        logits = model(ids, padded([part.types for _, part in drawn]), ids != 0).numpy()
        for (number, part), row in zip(drawn, logits, strict=True):
            best[number] = max(best[number], best_span(row, part))
    return [
        Answer(example.context[row.offsets[first][0] : row.offsets[last][1]], score)
        for example, row, (score, first, last) in zip(examples, rows, best, strict=True)
    ]


def measure(answers: Sequence[Answer], examples: Sequence[Example]) -> dict[str, float]:
    """Return F1 and exact match in percent; every question is answered."""
    rows = [
        (found.text, [text for text, _ in example.answers], example.lang)
        for found, example in zip(answers, examples, strict=True)
    ]
    return {
        "rows": len(rows),
        "f1": round(100 * fmean(f1(*row) for row in rows), 2),
        "exact_match": round(100 * fmean(exact(*row) for row in rows), 2),
    }


def measure_refusal(
    answerable: Sequence[Answer], unanswerable: Sequence[Answer], threshold: float
) -> dict[str, float]:
    """Return how well the score tells questions of this paragraph from those of another one."""
    yes, no = [a.score for a in answerable], [a.score for a in unanswerable]
    return {
        "unanswerable_rows": len(no),
        "auroc": round(auroc(yes, no), 4),
        "answerable_answered": round(fmean(score >= threshold for score in yes), 4),
        "unanswerable_refused": round(fmean(score < threshold for score in no), 4),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=Path("models/qa"))
    parser.add_argument("--variant", choices=VARIANTS, default="onnx-int8")
    parser.add_argument("--max-length", type=int, default=MAX_TOKENS, help="window in tokens")
    parser.add_argument("--fit", action="store_true", help="fit the no-answer threshold first")
    parser.add_argument("--tiny", action="store_true", help="8 questions per set")
    options = parser.parse_args(arguments)
    tokenizer = transliterating_tokenizer()
    model = open_model(options.model, options.variant, 2, None)
    draw = seeded(SEED)
    held_out = split(options.data, draw).dev
    sets = {f"xquad_{lang}": read_xquad(options.data, lang) for lang in LANGUAGES}
    sets = {f"dev_{lang}": [e for e in held_out if e.lang == lang] for lang in LANGUAGES} | sets
    rows = 8 if options.tiny else None

    found = {}
    for name, examples in sets.items():
        wrong = unanswerable(draw.sample(examples, len(examples)), draw)[
            : rows or UNANSWERABLE_ROWS
        ]
        found[name] = tuple(
            answer(model, tokenizer, questions, options.max_length)
            for questions in (examples[:rows], wrong)
        )
        print(name, measure(found[name][0], examples[:rows]), flush=True)

    config: dict[str, Any] = json.loads((options.model / "config.json").read_text())
    if options.fit:
        dev = [found[f"dev_{lang}"] for lang in LANGUAGES]
        yes, no = ([a.score for pair in dev for a in pair[side]] for side in (0, 1))
        config["no_answer_threshold"] = round(separating_threshold(yes, no), 3)
        write_json(options.model / "config.json", config)
    measured = {
        name: measure(yes, sets[name][:rows])
        | measure_refusal(yes, no, config["no_answer_threshold"])
        for name, (yes, no) in found.items()
    }
    windowed = {"max_length": options.max_length, "overlap": OVERLAP}
    update_report(options.model / "report.json", options.variant, windowed | measured)
    for name, values in measured.items():
        print(name, values)


if __name__ == "__main__":
    main()
