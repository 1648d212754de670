"""Train the span adapter: `python -m training.qa.train --data DIR --out models/qa`.

One run over English, Spanish and (transliterated) Russian; XQuAD is never read here. About 40 CPU minutes on one
thread; `--tiny` takes seconds.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn import functional

from training.minilm import MiniLM, base_dir
from training.qa.data import Example, cloze, read_examples
from training.qa.tokenizer import transliterating_tokenizer
from training.qa.windows import Window, encode, training_window
from training.recipe import (
    Progress,
    Trainer,
    buckets,
    padded,
    save,
    seeded,
    update_report,
    write_json,
)

SEED = 11
# File: passes over it. QAMR's contexts are single sentences, so its questions cost a quarter of the others.
MIX = {
    "en_squadshifts_wiki": 1.0,
    "en_tydiqa_goldp_train": 1.0,
    "en_squadshifts_reddit": 0.15,
    "en_squadshifts_amazon": 0.15,
    "en_qamr_dev": 0.5,
    "es_squad_es_dev_small": 2.0,
    "ru_tydiqa_goldp_dev": 3.0,
}
CLOZES_PER_RUSSIAN_CONTEXT = 6
DEV_TITLES = 3  # Spanish articles held out
DEV_RUSSIAN = 80  # Russian examples held out
# Windows as long as in serving are dear; most examples train in shorter ones.
WINDOW_LENGTHS, WINDOW_SHARES = (128, 192, 256), (0.45, 0.35, 0.2)
UNANSWERABLE = 0.12  # share of windows with a question of another paragraph
MAX_TOKENS = 256
BATCH_TOKENS = 2400
RATE, HEAD_RATE = 1e-3, 2e-3


@dataclass(frozen=True)
class Split:
    """What is trained on and what is held out to fit the no-answer threshold."""

    train: dict[str, list[Example]]
    dev: list[Example]


def split(data: Path, draw: random.Random) -> Split:
    """Read every file of the mix and hold out Spanish articles, Russian questions and TyDi's English dev set."""
    train = {name: read_examples(data, name) for name in MIX}
    spanish, russian = train["es_squad_es_dev_small"], train["ru_tydiqa_goldp_dev"]
    titles = sorted({example.title for example in spanish})
    held = set(draw.sample(titles, min(DEV_TITLES, len(titles) // 2)))
    draw.shuffle(russian)
    ru_dev, russian = russian[:DEV_RUSSIAN], russian[DEV_RUSSIAN:]
    dev = (
        [e for e in spanish if e.title in held]
        + ru_dev
        + read_examples(data, "en_tydiqa_goldp_dev")
    )
    train["es_squad_es_dev_small"] = [e for e in spanish if e.title not in held]
    train["ru_tydiqa_goldp_dev"] = russian
    made = [q for e in russian for q in cloze(e, CLOZES_PER_RUSSIAN_CONTEXT, draw)]
    return Split(train | {"ru_cloze": made}, dev)


def unanswerable(examples: list[Example], draw: random.Random) -> list[Example]:
    """Give each example a question from elsewhere, of the same article where there is another paragraph."""
    by_title: dict[str, list[Example]] = {}
    for example in examples:
        by_title.setdefault(example.title, []).append(example)
    swapped = []
    for example in examples:
        others = [
            o for o in draw.choices(by_title[example.title], k=4) if o.context != example.context
        ]
        other = others[0] if others else draw.choice(examples)
        if not any(text in example.context for text, _ in other.answers):
            swapped.append(replace(example, question=other.question, answers=()))
    return swapped


def training_windows(
    train: dict[str, list[Example]], tokenizer: Tokenizer, draw: random.Random
) -> list[Window]:
    """Draw the whole run's windows from the mix."""
    rows: list[Window] = []
    for name, examples in train.items():
        passes = MIX.get(name, 1.0)
        drawn = examples * int(passes) + draw.sample(examples, int(len(examples) * (passes % 1)))
        swapped = unanswerable(draw.sample(drawn, int(len(drawn) * UNANSWERABLE)), draw)
        cut = [
            training_window(row, draw.choices(WINDOW_LENGTHS, WINDOW_SHARES)[0], draw)
            for row in encode(tokenizer, drawn + swapped)
        ]
        print(f"{name}: {len(cut)} windows, {sum(len(w.ids) for w in cut)} tokens", flush=True)
        rows += cut
    return rows


def span_loss(logits: torch.Tensor, rows: list[Window]) -> torch.Tensor:
    """Cross entropy of start and end over the context tokens and [CLS]."""
    closed = torch.ones(logits.shape[:2], dtype=torch.bool)
    closed[:, 0] = False
    for number, row in enumerate(rows):
        closed[number, row.first : len(row.ids) - 1] = False
    scores = logits.masked_fill(closed.unsqueeze(-1), -1e4)
    targets = torch.tensor([row.target for row in rows])
    return functional.cross_entropy(scores, targets)


def forward(model: MiniLM, rows: list[Window]) -> torch.Tensor:
    """Return logits (rows, tokens, 2)."""
    ids = padded([row.ids for row in rows])
    logits: torch.Tensor = model(ids, padded([row.types for row in rows]), ids != 0)
    return logits


def train(model: MiniLM, rows: list[Window], draw: random.Random) -> float:
    """Fit adapters and head in one pass over `rows`; return the CPU seconds spent."""
    plan = buckets([len(row.ids) for row in rows], BATCH_TOKENS, draw)
    trainer = Trainer(model, len(plan), RATE, HEAD_RATE)
    progress = Progress(len(plan), 100)
    model.train()
    for batch in plan:
        drawn = [rows[row] for row in batch]
        progress.add(trainer.step(span_loss(forward(model, drawn), drawn)))
    return progress.cpu_seconds


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("models/qa"))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--tiny", action="store_true", help="64 windows: does it run?")
    options = parser.parse_args(arguments)
    draw = seeded(options.seed)
    tokenizer = transliterating_tokenizer()
    rows = training_windows(split(options.data, draw).train, tokenizer, draw)
    if options.tiny:
        rows = rows[:64]
    model = MiniLM(2, None, torch.bfloat16)
    seconds = train(model, rows, draw)
    save(model, options.out, "span", MAX_TOKENS, transliterate=True)
    tokenizer.save(str(options.out / "tokenizer.json"))
    base = json.loads((base_dir() / "config.json").read_text(encoding="utf-8"))
    # Serving cuts windows of this size: positions beyond it were not trained.
    head = {"architectures": ["BertForQuestionAnswering"], "max_position_embeddings": MAX_TOKENS}
    write_json(options.out / "config.json", base | head)
    training = {
        "windows": len(rows),
        "tokens": sum(len(row.ids) for row in rows),
        "mix": MIX,
        "seed": options.seed,
        "cpu_seconds": round(seconds),
    }
    update_report(options.out / "report.json", "training", training)
    print(training)


if __name__ == "__main__":
    main()
