"""Train a ranker of a collection's own on question and document pairs, over HTTP.

    python -m training.rag.collection --url http://127.0.0.1:8004 --collection NAME --pairs FILE

FILE holds a JSON object a line, {"question": ..., "document_id": ...}, or with "chunk_id" where the
passage matters. Each question is searched with `explain`; what the ranker would see of each chunk
found becomes an example. One question in five is kept to measure with: the new ranker is put in
place only if it puts more right chunks first than the present one. A hundred pairs are a beginning.
"""

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from numpy.typing import NDArray

from services.rag import features
from training.rag import forest

FOUND = 50
TEST_SHARE = 5
LEAST_QUESTIONS = 30


@dataclass(frozen=True)
class Examples:
    """Found chunks, question by question."""

    rows: list[NDArray[np.float32]]
    is_right: list[NDArray[np.bool_]]
    present: list[NDArray[np.float64]]
    """Scores of the ranker in place."""

    def first(self, numbers: list[int], scores: list[NDArray[np.float64]]) -> float:
        """Return for which share of the questions a right chunk scores best."""
        best = [bool(self.is_right[n][np.argmax(scores[n])]) for n in numbers]
        return float(np.mean(best)) if best else 0.0


def examples(client: httpx2.Client, collection: str, pairs: list[dict[str, Any]]) -> Examples:
    """Search all questions; those whose document is not found teach nothing."""
    found = Examples([], [], [])
    for pair in pairs:
        body = {"query": pair["question"], "k": FOUND, "explain": True}
        answer = client.post(f"/v1/collections/{collection}/search", json=body).raise_for_status()
        results = [one for one in answer.json()["results"] if one["explanation"]["features"]]
        right = np.array([_is_right(pair, one) for one in results])
        if right.any():
            rows = [
                [one["explanation"]["features"][name] for name in features.NAMES] for one in results
            ]
            found.rows.append(np.array(rows, dtype=np.float32))
            found.is_right.append(right)
            found.present.append(np.array([one["score"] for one in results]))
    return found


def _is_right(pair: dict[str, Any], result: dict[str, Any]) -> bool:
    if "chunk_id" in pair:
        return bool(result["chunk_id"] == pair["chunk_id"])
    return bool(result["document_id"] == pair["document_id"])


def run(client: httpx2.Client, collection: str, pairs: list[dict[str, Any]]) -> dict[str, Any]:
    """Train, compare, put in place what is better, and say what came of it."""
    found = examples(client, collection, pairs)
    count = len(found.rows)
    if count < LEAST_QUESTIONS:
        raise SystemExit(f"{count} questions find their document; {LEAST_QUESTIONS} are needed.")
    test = list(range(0, count, TEST_SHARE))
    train = sorted(set(range(count)) - set(test))
    trees = forest.fitted(
        np.concatenate([found.rows[n] for n in train]),
        np.concatenate([found.is_right[n] for n in train]),
    )
    scores = [trees.probabilities(rows) for rows in found.rows]
    report = {
        "questions": count,
        "tested": len(test),
        "first_before": round(found.first(test, found.present), 3),
        "first_after": round(found.first(test, scores), 3),
    }
    is_better = report["first_after"] > report["first_before"]
    if is_better:
        content = trees.to_bytes()
        client.put(f"/v1/collections/{collection}/ranker", content=content).raise_for_status()
    return {**report, "put_in_place": is_better}


def main() -> None:
    """Read the arguments and run; the key, if one is needed, is in SWITCHBOARD_API_KEY."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--url", default="http://127.0.0.1:8004")
    arguments.add_argument("--collection", required=True)
    arguments.add_argument("--pairs", type=Path, required=True)
    given = arguments.parse_args()
    pairs = [json.loads(line) for line in given.pairs.read_text("utf-8").splitlines() if line]
    key = os.environ.get("SWITCHBOARD_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx2.Client(base_url=given.url, headers=headers, timeout=60) as client:
        print(json.dumps(run(client, given.collection, pairs), indent=1))


if __name__ == "__main__":
    main()
