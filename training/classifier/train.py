"""Train the emotion adapter: `python -m training.classifier.train --data DIR --out models/emotions`.

MiniLM, LoRA on every linear layer, mean pooling, 28 sigmoids.
About 23 CPU minutes on one thread; `--tiny` takes seconds.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn import functional

from training.classifier.data import Split, read_labels, read_split
from training.classifier.scores import score
from training.minilm import MiniLM, base_dir
from training.recipe import (
    Progress,
    Trainer,
    buckets,
    save,
    seeded,
    update_report,
    write_json,
)

SEED = 7
EPOCHS = 4
MAX_TRAIN_TOKENS = 64  # 99.9 % of the comments are shorter
MAX_TOKENS = 512  # what the encoder can read when it serves
BATCH_TOKENS = 1200  # about 60 comments
RATE, HEAD_RATE = 1e-3, 2e-3


def train(model: MiniLM, split: Split, epochs: int, seed: int) -> float:
    """Fit adapters and head; return the CPU seconds spent."""
    shuffle = seeded(seed)
    lengths = [len(row) for row in split.tokens]
    plan = [batch for _ in range(epochs) for batch in buckets(lengths, BATCH_TOKENS, shuffle)]
    trainer = Trainer(model, len(plan), RATE, HEAD_RATE)
    progress = Progress(len(plan), 100)
    model.train()
    for batch in plan:
        logits = score(model, [split.tokens[row] for row in batch])
        losses = functional.binary_cross_entropy_with_logits(
            logits, split.targets[batch], reduction="none"
        )
        progress.add(trainer.step(losses.sum(1).mean()))
    return progress.cpu_seconds


def start_head_at_label_frequency(model: MiniLM, split: Split) -> None:
    """Set the head's bias to the log odds of each label, so that rare labels start rare."""
    share = split.targets.mean(0).clamp(1e-4, 1 - 1e-4)
    with torch.no_grad():
        model.head.bias.copy_(torch.log(share / (1 - share)))
        model.head.weight.zero_()


def write_config(out: Path, labels: list[str]) -> None:
    """Write the label names as Hugging Face's config.json does."""
    base = json.loads((base_dir() / "config.json").read_text(encoding="utf-8"))
    config = base | {
        "architectures": ["BertForSequenceClassification"],
        "problem_type": "multi_label_classification",
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
    }
    write_json(out / "config.json", config)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("models/emotions"))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--tiny", action="store_true", help="64 rows, one epoch: does it run?")
    options = parser.parse_args(arguments)
    labels = read_labels(options.data)
    seeded(options.seed)
    split = read_split(options.data, "train", MAX_TRAIN_TOKENS).head(64 if options.tiny else None)
    model = MiniLM(len(labels), "mean", torch.bfloat16)
    start_head_at_label_frequency(model, split)
    seconds = train(model, split, 1 if options.tiny else options.epochs, options.seed)
    save(model, options.out, "classify", MAX_TOKENS, transliterate=False)
    write_config(options.out, labels)

    training = {
        "dataset": "GoEmotions train, official split",
        "rows": len(split.texts),
        "epochs": options.epochs,
        "seed": options.seed,
        "cpu_seconds": round(seconds),
    }
    update_report(options.out / "report.json", "training", training)
    print(training)


if __name__ == "__main__":
    main()
