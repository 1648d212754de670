"""Our classifier beside other ways to serve the same model: `python -m benchmarks.text --data DIR`.

DIR holds `reddit10k/random_sample_10k.csv.gz`. Rounds in which every server gets its turn on one core, while the load comes
from the other; medians over the rounds, and ratios only of figures of the same round. Environments of the peers are made
below `--work`. Writes results/text.json after every round. `--size base` compares at roberta-base's size.
"""

import argparse
import csv
import gzip
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import numpy as np

from benchmarks.setting import RESULTS, record
from benchmarks.text import load, models, peers
from benchmarks.text.peers import PEERS, Peer, Server
from kit.models import LocalModel
from kit.onnx_model import OnnxText, Precision
from local.stack import ROOT, free_ports
from services.classifier.model import Classifier

SERVER_CORE, LOAD_CORE = 0, 1
BUDGET_SECONDS = 0.25
CLOSED = (1, 16, 64)
OPEN = (0.5, 1.0, 1.5, 2.0)
GATE_TEXTS, GATE_TOLERANCE = 32, 1e-3
CEILING_TEXTS = 400
TUNING_SECONDS = 2.0
MOST_TOKENS = 512  # the others cut what is longer, we read it: no comparison
DRAINED_SECONDS = 60.0


def messages(data: Path, tokenizer: Any) -> list[str]:
    """Return the messages that are neither blank nor over the model's length, in a fixed disorder."""
    packed = (data / "reddit10k/random_sample_10k.csv.gz").read_bytes()
    rows = csv.DictReader(io.StringIO(gzip.decompress(packed).decode(), newline=""))
    texts = [row["body"] for row in rows if row["body"].strip()]
    lengths = [len(encoding) for encoding in tokenizer.encode_batch(texts)]
    kept = [text for text, size in zip(texts, lengths, strict=True) if size <= MOST_TOKENS]
    Random(0).shuffle(kept)
    return kept


def reference(model: Path, precision: Precision, texts: Sequence[str]) -> list[dict[str, float]]:
    """Return what a graph says without any server, one text at a time."""
    classifier = Classifier(OnnxText(LocalModel("model", "local", model), precision=precision))
    read = [classifier.read(windows) for windows in classifier.windows(texts)]
    rows = [classifier.combine(windows) for windows in read]
    return [dict(zip(classifier.labels, map(float, row), strict=True)) for row in rows]


def check(server: Server, texts: Sequence[str], expected: Sequence[dict[str, float]]) -> float:
    """Return the largest difference of a score; stop the run when it is too large."""
    worst = 0.0
    for text, scores in zip(texts, expected, strict=True):
        told = {row["label"]: row["score"] for row in server.ask(text)}
        if told.keys() != scores.keys():
            raise SystemExit(f"{server.peer.name} answers with other labels.")
        worst = max(worst, *(abs(told[label] - score) for label, score in scores.items()))
    if worst > GATE_TOLERANCE:
        raise SystemExit(f"{server.peer.name} is wrong by {worst:.4f} for {text!r}.")
    return worst


def send(server: Server, texts: Sequence[str], **how: float) -> dict[str, Any]:
    """Run one load from the other core and return its figures."""
    task = {
        "port": server.port,
        "path": server.peer.path,
        "bodies": [server.peer.body(text) for text in texts],
        "headers": {"X-Request-Timeout-Ms": str(int(BUDGET_SECONDS * 1000))}
        if "rate" in how
        else {},
        **how,
    }
    used = server.cpu_seconds()
    done = subprocess.run(  # noqa: S603 - a fixed command
        ["taskset", "-c", str(LOAD_CORE), sys.executable, load.__file__],  # noqa: S607
        input=json.dumps(task).encode(),
        capture_output=True,
        check=True,
    )
    return figures(json.loads(done.stdout), server.cpu_seconds() - used)


def figures(raw: dict[str, Any], cpu_seconds: float) -> dict[str, Any]:
    """Summarise one load."""
    took = np.array([t for status, _, t in raw["answers"] if status == 200] or [np.nan])
    answered = int(np.isfinite(took).sum())
    refused = sum(status in (429, 503, 504) for status, _, _ in raw["answers"])
    return {
        "sent": len(raw["answers"]),
        "answered": answered,
        "refused": refused,
        "failed": len(raw["answers"]) - answered - refused,
        "per_second": round(answered / raw["seconds"], 2),
        "goodput": round(float((took <= BUDGET_SECONDS).sum()) / raw["seconds"], 2),
        "p50_ms": round(float(np.percentile(took, 50)) * 1000, 1),
        "p99_ms": round(float(np.percentile(took, 99)) * 1000, 1),
        "cpu_seconds_per_1000": round(1000 * cpu_seconds / max(answered, 1), 3),
        "generator_cpu_share": round(raw["generator_cpu_share"], 2),
    }


def drain(server: Server) -> None:
    """Wait until what an overload left behind is worked off."""
    until = time.monotonic() + DRAINED_SECONDS
    while time.monotonic() < until:
        began = time.monotonic()
        server.ask("Thank you!")
        if time.monotonic() - began < BUDGET_SECONDS / 2:
            return


def turn(server: Server, texts: Sequence[str], seconds: float) -> dict[str, Any]:
    """Measure one server once: closed loops, then open ones up to twice what it could do."""
    send(server, texts, concurrency=CLOSED[-1], seconds=TUNING_SECONDS)  # what adapts shall adapt
    loads: dict[str, Any] = {}
    for many in CLOSED:
        loads[f"closed_{many}"] = send(server, texts, concurrency=many, seconds=seconds)
    capacity = loads[f"closed_{CLOSED[-1]}"]["per_second"]
    for share in OPEN:
        drain(server)
        loads[f"open_{share}"] = send(server, texts, rate=share * capacity, seconds=seconds)
    return {
        "start_seconds": round(server.start_seconds, 2),
        "peak_mib": round(server.peak_mib(), 1),
        **loads,
    }


class Run:
    """One measurement: the model, the texts, and where things are kept."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._work: Path = given.work.resolve()
        self._seconds: float = given.seconds
        self.model = self._prepared(given.size)
        tokenizer = OnnxText(LocalModel("model", "local", self.model)).tokenizer
        self.texts = messages(given.data, tokenizer)
        self._expected = {
            is_fp32: reference(self.model, "fp32" if is_fp32 else "int8", self.texts[:GATE_TEXTS])
            for is_fp32 in ((False, True) if given.size == "mini" else (False,))
        }

    def _prepared(self, size: str) -> Path:
        folder = self._work / f"model-{size}"
        if not (folder / "torch/config.json").exists():
            (models.emotions if size == "mini" else models.base_size)(folder)
        return folder

    def serving(self, peer: Peer, batch: int) -> Any:
        """Start a peer."""
        (port,) = list(free_ports().values())[:1]
        return peers.serving(peer, self._work, port, SERVER_CORE, self.model, batch)

    def tune(self, peer: Peer) -> dict[int, float]:
        """Return requests per second at the highest concurrency for each batch size."""
        if len(peer.batches) == 1:
            return {peer.batches[0]: 0.0}
        found = {}
        for batch in peer.batches:
            with self.serving(peer, batch) as server:
                for _ in range(2):  # the first one warms up
                    sent = send(server, self.texts, concurrency=CLOSED[-1], seconds=TUNING_SECONDS)
                found[batch] = sent["per_second"]
        return found

    def measure(self, peer: Peer, batch: int, offset: int) -> dict[str, Any]:
        """Start a peer, check its answers and measure it once."""
        texts = self.texts[offset:] + self.texts[:offset]
        with self.serving(peer, batch) as server:
            gate: float | None = None
            if expected := self._expected.get(peer.is_fp32):
                gate = check(server, self.texts[:GATE_TEXTS], expected)
            return {"largest_difference": gate, **turn(server, texts, self._seconds)}

    def ceiling(self) -> dict[str, float]:
        """Measure the model without a server."""
        done = subprocess.run(  # noqa: S603 - a fixed command
            [sys.executable, "-m", "benchmarks.text.ceiling", self.model, str(SERVER_CORE)],
            input=json.dumps(self.texts[:CEILING_TEXTS]).encode(),
            capture_output=True,
            check=True,
            cwd=ROOT,
        )
        found: dict[str, float] = json.loads(done.stdout)
        return {name: round(value, 2) for name, value in found.items()}


def summary(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return medians over the rounds, and each server against ours within rounds."""
    top = f"closed_{CLOSED[-1]}"
    results: dict[str, Any] = {}
    for name in rounds[0]["servers"]:
        turns = [one["servers"][name] for one in rounds]
        results[name] = {
            part: {key: middle([t[part][key] for t in turns]) for key in value}
            if isinstance(value, dict)
            else middle([t[part] for t in turns])
            for part, value in turns[0].items()
        }
        rates = [t[top]["per_second"] for t in turns]
        own = [one["servers"]["switchboard"][top]["per_second"] for one in rounds]
        results[name]["ratios"] = {
            "ours_to_this": middle([o / r for o, r in zip(own, rates, strict=True)]),
            "to_ceiling": middle(
                [r / one["ceiling"]["per_second"] for r, one in zip(rates, rounds, strict=True)]
            ),
            "goodput_at_double_to_capacity": middle(
                [t[f"open_{OPEN[-1]}"]["goodput"] / t[top]["per_second"] for t in turns]
            ),
        }
    return results


def middle(values: Sequence[float | None]) -> float | None:
    """Return the median of the numbers among the values."""
    numbers = [value for value in values if value is not None and not np.isnan(value)]
    return round(median(numbers), 3) if numbers else None


def tune(run: Run, chosen: Sequence[Peer]) -> tuple[dict[str, dict[int, float]], dict[str, str]]:
    """Return requests per second by batch size, and why a peer is left out."""
    tuned, left_out = {}, {}
    for peer in chosen:
        try:
            tuned[peer.name] = run.tune(peer)
        except peers.DoesNotStart as error:
            left_out[peer.name] = str(error)
    return tuned, left_out


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=ROOT / ".run/benchmarks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each load")
    parser.add_argument("--size", choices=("mini", "base"), default="mini")
    parser.add_argument("--peers", nargs="*", help="names; all by default")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    chosen = [peer for peer in PEERS if given.peers is None or peer.name in given.peers]
    out = given.out or RESULTS / ("text.json" if given.size == "mini" else "text_base.json")
    run = Run(given)
    tuned, left_out = tune(run, chosen)
    chosen = [peer for peer in chosen if peer.name in tuned]
    print("requests/s by batch size", tuned, "left out", left_out, flush=True)
    rounds: list[dict[str, Any]] = []
    for number in range(given.rounds):
        before = os.getloadavg()
        ceiling = run.ceiling()
        servers = {}
        for peer in chosen[number % len(chosen) :] + chosen[: number % len(chosen)]:
            best = max(tuned[peer.name], key=tuned[peer.name].__getitem__)
            servers[peer.name] = run.measure(peer, best, number * 1000)
            reached = servers[peer.name][f"closed_{CLOSED[-1]}"]["per_second"]
            print(number, peer.name, reached, "of", ceiling["per_second"], flush=True)
        rounds.append({"load_average": before, "ceiling": ceiling, "servers": servers})
        record(
            out,
            summary(rounds),
            seconds=given.seconds,
            budget_ms=BUDGET_SECONDS * 1000,
            requests_per_second_by_batch_size=tuned,
            left_out=left_out,
            rounds=rounds,
        )
    for name, values in summary(rounds).items():
        print(name, json.dumps(values))


if __name__ == "__main__":
    main()
