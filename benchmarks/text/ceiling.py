"""What ONNX Runtime gives without any server: `python -m benchmarks.text.ceiling MODEL CORE < texts.json`.

The best of two ways on one core, tokenizer included: one text at a time, and 32 of like length at a time.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from kit.models import LocalModel
from kit.onnx_model import OnnxText
from services.classifier.model import Classifier

BATCH = 32


def per_second(classifier: Classifier, texts: Sequence[str], batch: int) -> float:
    """Return texts per second when so many are scored at a time, shortest first."""
    started = time.perf_counter()
    encodings = [windows[0] for windows in classifier.windows(texts)]
    encodings.sort(key=len)
    for at in range(0, len(encodings), batch):
        classifier.read(encodings[at : at + batch])
    return len(texts) / (time.perf_counter() - started)


def main() -> None:
    """Print the ceiling as JSON."""
    folder, core = Path(sys.argv[1]), int(sys.argv[2])
    os.sched_setaffinity(0, {core})
    texts = json.load(sys.stdin)
    classifier = Classifier(OnnxText(LocalModel("emotions", "local", folder)))
    per_second(classifier, texts[:BATCH], BATCH)
    used, began = time.process_time(), time.perf_counter()
    found = {f"batch_{size}": per_second(classifier, texts, size) for size in (1, BATCH)}
    share = (time.process_time() - used) / (time.perf_counter() - began)
    json.dump({"per_second": max(found.values()), **found, "core_share": share}, sys.stdout)


if __name__ == "__main__":
    main()
