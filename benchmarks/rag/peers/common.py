"""What every engine of the benchmark gets and is asked; needs numpy only, for each runs in its own environment."""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

K = 10
DEPTH = 100  # places of each leg that a hybrid search fuses
RRF = 60
AT_ONCE = 256
PASSES = 2  # the better one counts, query by query
Find = Callable[[np.ndarray, str], Sequence[int]]


class Data:
    """Chunks with vectors, texts and a tag, and questions with what is right."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / "data.npz") as content:
            self.vectors: np.ndarray = content["vectors"]
            self.tags: np.ndarray = content["tags"]
            self.queries: np.ndarray = content["queries"]
        about = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
        self.texts: list[str] = about["texts"]
        self.questions: list[str] = about["questions"]
        self.right: list[list[int]] = about["right"]
        self.tag: int = about["tag"]

    def exact(self, rows: np.ndarray) -> list[set[int]]:
        """Return the true nearest of the given rows, per question."""
        scores = self.queries @ self.vectors[rows].T
        return [set(rows[np.argsort(-one)[:K]].tolist()) for one in scores]


def fused(*legs: Sequence[int]) -> list[int]:
    """Return the best places by reciprocal ranks."""
    scores: dict[int, float] = {}
    for leg in legs:
        for rank, place in enumerate(leg, 1):
            scores[place] = scores.get(place, 0.0) + 1 / (RRF + rank)
    return sorted(scores, key=lambda place: -scores[place])[:K]


def timed(data: Data, find: Find) -> tuple[dict[str, float], list[Sequence[int]]]:
    """Put every question and return the milliseconds and what was found."""
    best = [float("inf")] * len(data.questions)
    found: list[Sequence[int]] = []
    for _ in range(PASSES):
        found = []
        for at, (vector, question) in enumerate(zip(data.queries, data.questions, strict=True)):
            started = time.perf_counter()
            found.append(find(vector, question))
            best[at] = min(best[at], (time.perf_counter() - started) * 1000)
    p99 = statistics.quantiles(best, n=100)[98]
    return {"p50_ms": round(statistics.median(best), 2), "p99_ms": round(p99, 2)}, found


def recall(found: Sequence[Sequence[int]], true: Sequence[set[int]]) -> float:
    """Return which share of the true nearest was found."""
    shares = [
        len(set(list(one)[:K]) & want) / max(1, len(want))
        for one, want in zip(found, true, strict=True)
    ]
    return round(statistics.mean(shares), 4)


def hits(data: Data, found: Sequence[Sequence[int]]) -> float:
    """Return for which share of the questions a right chunk is among the first ten."""
    return round(
        statistics.mean(
            bool(set(list(one)[:K]) & set(want))
            for one, want in zip(found, data.right, strict=True)
        ),
        4,
    )


def measured(
    data: Data, *, dense: Find, filtered: Find, keyword: Find | None, hybrid: Find | None
) -> dict[str, Any]:
    """Return the figures of all kinds of search that an engine has."""
    everything = np.arange(len(data.vectors))
    result: dict[str, Any] = {}
    times, found = timed(data, dense)
    result["dense"] = {**times, "recall_at_10": recall(found, data.exact(everything))}
    times, found = timed(data, filtered)
    tagged = np.flatnonzero(data.tags == data.tag)
    result["filtered"] = {**times, "recall_at_10": recall(found, data.exact(tagged))}
    for name, find in (("keyword", keyword), ("hybrid", hybrid)):
        if find is not None:
            times, found = timed(data, find)
            result[name] = {**times, "hit_at_10": hits(data, found)}
    return result


def memory_mb() -> int:
    """Return the most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def arguments() -> tuple[Data, Path]:
    """Return the data and an empty folder for the engine."""
    return Data(Path(sys.argv[1])), Path(sys.argv[2])


def say(result: dict[str, Any]) -> None:
    """Print the result as the last line."""
    print(json.dumps(result))
