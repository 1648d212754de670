"""What the text recipes do the same way: bucketed batches, the schedule, files and reports."""

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from training.minilm import ALPHA, RANK, MiniLM


def buckets(lengths: Sequence[int], tokens: int, shuffle: random.Random) -> list[list[int]]:
    """Return batches of row numbers of similar length, each of at most `tokens` padded tokens, in random order."""
    order = sorted(range(len(lengths)), key=lambda row: (lengths[row], shuffle.random()))
    batches: list[list[int]] = [[]]
    for row in order:
        if batches[-1] and (len(batches[-1]) + 1) * lengths[row] > tokens:
            batches.append([])
        batches[-1].append(row)
    shuffle.shuffle(batches)
    return batches


def padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """Stack token rows into (rows, longest), padded with zeros."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])


class Trainer:
    """AdamW with linear warm-up (6 %) and linear decay to zero over a known number of steps."""

    def __init__(self, model: MiniLM, steps: int, rate: float, head_rate: float) -> None:
        head = set(model.head.parameters())
        adapters = [p for p in model.parameters() if p not in head]
        groups = [{"params": adapters, "lr": rate}, {"params": list(head), "lr": head_rate}]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        warm = max(1, round(steps * 0.06))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda n: min((n + 1) / warm, max(0.0, (steps - n) / (steps - warm + 1))),
        )
        self.parameters = [*adapters, *head]

    def step(self, loss: Tensor) -> float:
        """Take one optimizer step on `loss` and return its value."""
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        return loss.item()


class Progress:
    """Prints the running mean loss and the CPU seconds every so many steps."""

    def __init__(self, steps: int, every: int) -> None:
        self.steps, self.every = steps, every
        self.done, self.total, self.started = 0, 0.0, time.process_time()

    def add(self, loss: float) -> None:
        """Count one step."""
        self.done += 1
        self.total += loss
        if self.done % self.every == 0:
            print(
                f"step {self.done}/{self.steps} loss {self.total / self.every:.4f} cpu {self.cpu_seconds:.0f} s",
                flush=True,
            )
            self.total = 0.0

    @property
    def cpu_seconds(self) -> float:
        """CPU time of this process since the start of the training."""
        return time.process_time() - self.started


def seeded(seed: int) -> random.Random:
    """Seed torch and return a generator for everything else."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    return random.Random(seed)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, keys in the given order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def update_report(path: Path, section: str, value: Any) -> None:
    """Set one section of a report file, keeping the others."""
    report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    write_json(path, report | {section: value})


def save(model: MiniLM, out: Path, head: str, max_length: int, *, transliterate: bool) -> None:
    """Write `adapter.safetensors` and `adapter.json`, from which the ONNX graph is built."""
    out.mkdir(parents=True, exist_ok=True)
    save_file(model.adapter(), out / "adapter.safetensors")
    description = {
        "base": "embedded:minilm",
        "rank": RANK,
        "alpha": ALPHA,
        "head": head,
        "pooling": model.pooling or "none",
        "max_length": max_length,
        "transliterate": transliterate,
    }
    write_json(out / "adapter.json", description)
