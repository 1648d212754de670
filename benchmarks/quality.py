"""How good the answers of the running system are, measured through its gateway.

    python -m benchmarks.quality --data DIR [--url http://127.0.0.1:8080]

DIR holds `goemotions/` (goemotions_test.tsv[.gz], labels.txt) and `xquad/` (xquad.{en,es,ru}.json[.gz]); README.md says
where from. Without `--url` the system is started here. Writes results/quality.json and prints the same as a table.
"""

import argparse
import csv
import gzip
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import httpx2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.setting import RESULTS, client, post, record, with_own_system
from services.gateway.router import Alternative, Evidence, Explanation, Route, RouteRequest
from training.classifier.data import read_labels
from training.classifier.scores import quality
from training.gateway import evaluate as routing
from training.imagegen.captions import LANGUAGES as SAY
from training.imagegen.evaluate import SETS, plain_caption, score
from training.imagegen.scenes import Scene
from training.imagegen.shapes import SIDE
from training.qa import evaluate as answering
from training.qa.data import Example, read_xquad

TEXTS = 64  # per request, the most that the classifier takes
ASKING = 4  # questions in flight
PICTURES = 12  # per language: a look whether the path works, too few for a score
SCENE_SEED = 77_000  # not a seed of training or of its evaluation
SENTENCE = re.compile(r"[^.!?]+(?:[.!?](?!\s)[^.!?]*)*[.!?]?")
WORD = re.compile(r"\w+")


def classify(gateway: httpx2.Client, folder: Path, limit: int | None) -> dict[str, Any]:
    """Label GoEmotions' official test split."""
    labels = read_labels(folder)
    texts, targets = read_emotions(folder, len(labels), limit)
    results: list[dict[str, Any]] = []
    for at in range(0, len(texts), TEXTS):
        body = {"texts": texts[at : at + TEXTS], "threshold": "calibrated"}
        results += post(gateway, "/v1/classify", body)["results"]
    return emotion_quality(results, targets, labels)


def read_emotions(folder: Path, width: int, limit: int | None) -> tuple[list[str], Tensor]:
    """Return the texts and the (rows, labels) matrix of zeros and ones."""
    packed = folder / "goemotions_test.tsv.gz"
    plain = folder / "goemotions_test.tsv"
    raw = gzip.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
    lines = csv.reader(io.StringIO(raw.decode(), newline=""), "excel-tab", quoting=csv.QUOTE_NONE)
    rows = list(lines)[:limit]
    targets = torch.zeros(len(rows), width)
    for number, (_, chosen, _) in enumerate(rows):
        targets[number, [int(label) for label in chosen.split(",")]] = 1.0
    return [text for text, _, _ in rows], targets


def emotion_quality(
    results: Sequence[dict[str, Any]], targets: Tensor, labels: Sequence[str]
) -> dict[str, Any]:
    """Score the answers at 0.5, and the labels that the service chose by its own thresholds."""
    scores, chosen = torch.zeros_like(targets), torch.zeros_like(targets)
    place = {label: number for number, label in enumerate(labels)}
    for row, result in enumerate(results):
        for pair in result["scores"]:
            scores[row, place[pair["label"]]] = pair["score"]
        chosen[row, [place[label] for label in result["labels"]]] = 1.0
    half = torch.tensor(0.5)
    return {
        "rows": len(results),
        "at_0.5": quality(scores, targets, half),
        "calibrated": quality(chosen, targets, half),
    }


def answer(gateway: httpx2.Client, examples: Sequence[Example]) -> dict[str, Any]:
    """Ask questions about their paragraphs; every one has an answer."""

    def ask(example: Example) -> dict[str, Any]:
        body = {"question": example.question, "context": example.context, "allow_no_answer": False}
        found: dict[str, Any] = post(gateway, "/v1/answer", body)
        return found

    with ThreadPoolExecutor(ASKING) as pool:
        return answer_quality(list(pool.map(ask, examples)), examples)


def answer_quality(found: Sequence[dict[str, Any]], examples: Sequence[Example]) -> dict[str, Any]:
    """Score the best answers, say how many would not be refused, and score the baseline beside."""
    nothing: dict[str, Any] = {"text": "", "score": 0.0, "share": 0.0}
    best = [one["answers"][0] if one["answers"] else nothing for one in found]
    told = [row["share"] > one["no_answer_score"] for row, one in zip(best, found, strict=True)]
    rarity = idf([example.context for example in examples])
    sentences = [closest_sentence(e.question, e.context, rarity) for e in examples]
    return {
        **answering.measure([answering.Answer(b["text"], b["score"]) for b in best], examples),
        "not_refused": round(100 * fmean(told), 2),
        "closest_sentence": answering.measure(
            [answering.Answer(s, 0.0) for s in sentences], examples
        ),
    }


def idf(contexts: Sequence[str]) -> dict[str, float]:
    """Return how rare each word is among the different contexts."""
    documents = set(contexts)
    counts = Counter(word for text in documents for word in words(text))
    return {word: math.log(1 + len(documents) / count) for word, count in counts.items()}


def closest_sentence(question: str, context: str, rarity: Mapping[str, float]) -> str:
    """Return the sentence that shares the rarest words with the question: no model at all."""
    asked = words(question)
    sentences = [match[0].strip() for match in SENTENCE.finditer(context)]
    return max(sentences, key=lambda s: math.fsum(rarity.get(w, 0.0) for w in words(s) & asked))


def words(text: str) -> set[str]:
    """Return the different words of a text."""
    return set(WORD.findall(text.lower()))


class GatewaysRouter:
    """Asks the gateway for each decision."""

    def __init__(self, gateway: httpx2.Client) -> None:
        self._gateway = gateway

    def route(self, request: RouteRequest) -> Route:
        """Return the decision about a text."""
        return as_route(post(self._gateway, "/v1/route", {"text": request.text}))


def as_route(answer: dict[str, Any]) -> Route:
    """Turn the wire's form of a decision back into the router's."""
    why = answer["explanation"]
    return Route(
        answer["intent"],
        answer["confidence"],
        [Alternative(**other) for other in answer["alternatives"]],
        answer["language"],
        answer["slots"],
        Explanation(why["margin"], why["threshold"], [Evidence(**e) for e in why["evidence"]]),
    )


def draw(gateway: httpx2.Client, language: str, count: int) -> dict[str, Any]:
    """Wish for single shapes and let the checker judge colour and shape."""
    dice = Random(SCENE_SEED)
    scenes = SETS["single"].scenes(count, SCENE_SEED)

    def asked(scene: Scene) -> str:
        return plain_caption(scene, lambda one, luck, _: SAY[language](one, luck, True), dice)

    answers = [wish(gateway, asked(scene), number) for number, scene in enumerate(scenes)]
    drawn = [answer["intent"] == "draw" for answer in answers]
    pictures = [picture(gateway, answer) for answer in answers]
    right = score(scenes, pictures)
    respects = {name: right[name] for name in ("colour", "strict", "fair")}
    return {"rows": count, "understood": round(100 * fmean(drawn), 1)} | respects


def wish(gateway: httpx2.Client, text: str, seed: int) -> dict[str, Any]:
    """Return the answer to a wish; one that was taken for `write` meets no model for it."""
    body = {"text": text, "options": {"seed": seed}}
    answer = gateway.post("/v1/assist", json=body, headers={"Prefer": "wait=60"})
    if answer.status_code == 503 and "GATEWAY_LLM_URL" in answer.text:
        return {"intent": "write", "output": None}
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def picture(gateway: httpx2.Client, answer: dict[str, Any]) -> Any:
    """Fetch an answer's picture as (64, 64, 3) bytes; nothing drawn is an empty one."""
    drawn = (answer["output"] or {}).get("pictures") or []
    if not drawn:
        return np.full((SIDE, SIDE, 3), 250, np.uint8)
    png = gateway.get(drawn[0]["url"]).raise_for_status().content
    enlarged = Image.open(io.BytesIO(png)).convert("RGB")
    return np.asarray(enlarged.resize((SIDE, SIDE), Image.Resampling.BOX))  # as it was painted


def measure(url: str, data: Path, limit: int | None) -> dict[str, Any]:
    """Measure everything through one gateway."""
    with client(url) as gateway:
        rows = routing.read(routing.DATA / "test.tsv")[:limit]
        results: dict[str, Any] = {"route": routing.measure(GatewaysRouter(gateway), rows)}
        print("route", results["route"]["accuracy"], flush=True)
        results["classify"] = classify(gateway, data / "goemotions", limit)
        print("classify", results["classify"], flush=True)
        results["draw"] = {lang: draw(gateway, lang, limit or PICTURES) for lang in SAY}
        print("draw", results["draw"], flush=True)
        results["answer"] = {}
        for lang in answering.LANGUAGES:
            results["answer"][lang] = answer(gateway, read_xquad(data, lang)[:limit])
            print("answer", lang, results["answer"][lang], flush=True)
    return results


def table(results: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| what | rows | measured |"
    yield "|---|---:|---|"
    emotions = results["classify"]
    for name in ("at_0.5", "calibrated"):
        macro, micro = emotions[name]["macro_f1"], emotions[name]["micro_f1"]
        yield f"| emotions, {name} | {emotions['rows']} | macro-F1 {macro}, micro-F1 {micro} |"
    for lang, row in results["answer"].items():
        none = row["closest_sentence"]["f1"]
        found = f"F1 {row['f1']}, exact {row['exact_match']} (closest sentence: F1 {none})"
        yield f"| answers, {lang} | {row['rows']} | {found} |"
    routes = results["route"]
    yield f"| intents | {routes['rows']} | accuracy {routes['accuracy']} |"
    for lang, row in routes["by_language"].items():
        yield f"| intents, {lang} | {row['rows']} | accuracy {row['accuracy']} |"
    for intent, share in routes["by_intent"].items():
        yield f"| intents, {intent} | | accuracy {share} |"
    for lang, row in results["draw"].items():
        right = f"colour {row['colour']} %, colour and shape {row['fair']} %"
        yield f"| pictures, {lang} | {row['rows']} | {right} |"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--url", help="gateway of a running system; without it one is started")
    parser.add_argument("--limit", type=int, help="rows of each set; all by default")
    parser.add_argument("--out", type=Path, default=RESULTS / "quality.json")
    given = parser.parse_args()
    if given.url:
        results = measure(given.url, given.data, given.limit)
    else:
        results = with_own_system(lambda s: measure(s.url("gateway"), given.data, given.limit))
    record(given.out, results, limit=given.limit)
    print("\n".join(table(results)))


if __name__ == "__main__":
    main()
