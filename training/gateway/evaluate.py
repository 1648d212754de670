"""Measure the shipped router on the test set that another author wrote.

    python -m training.gateway.evaluate --model models/router

Runs the served code (services/gateway/router.py) on the text alone and writes the `test`, `slots` and
`speed` sections of report.json. `other` is right when the router says unclear.
"""

import argparse
import csv
import json
import math
import platform
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from services.gateway.features import WORD
from services.gateway.router import OTHER, UNCLEAR, Route, Router, RouteRequest
from services.gateway.slots import slots_of

DATA = Path(__file__).parent / "data"
WEIGHT_TOLERANCE = 0.01


class Decides(Protocol):
    """A router, or what asks one."""

    def route(self, request: RouteRequest) -> Route:
        """Return the decision about a message."""
        ...


def read(path: Path) -> list[dict[str, str]]:
    """Read an unquoted tab-separated file with a header."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def measure(router: Decides, rows: list[dict[str, str]]) -> dict[str, Any]:
    """Return accuracy, macro F1 and confusion, overall and by language."""
    routes = [router.route(RouteRequest(row["text"])) for row in rows]
    right = [UNCLEAR if row["intent"] == OTHER else row["intent"] for row in rows]
    report = _scores(right, routes) | {"out_of_scope_auroc": _auroc(right, routes)}
    report["by_intent"] = _shares(
        right, [r.intent for r in routes], [row["intent"] for row in rows]
    )
    report["by_language"] = {}
    for language in sorted({row["language"] for row in rows}):
        of = [i for i, row in enumerate(rows) if row["language"] == language]
        scores = _scores([right[i] for i in of], [routes[i] for i in of])
        found = sum(routes[i].language == language for i in of)
        report["by_language"][language] = scores | {
            "language_recognised": round(found / len(of), 4)
        }
    return report


def _scores(right: list[str], routes: list[Route]) -> dict[str, Any]:
    said = [route.intent for route in routes]
    pairs = list(zip(right, said, strict=True))
    hits = sum(a == b for a, b in pairs)
    labels = sorted(set(right))
    return {
        "rows": len(right),
        "accuracy": round(hits / len(right), 4),
        "accuracy_95": _interval(hits, len(right)),
        "macro_f1": round(sum(_f1(label, pairs) for label in labels) / len(labels), 4),
        "in_scope_abstained": sum(a != UNCLEAR and b == UNCLEAR for a, b in pairs),
        "in_scope_misrouted": sum(UNCLEAR not in {a, b} and a != b for a, b in pairs),
        "other_routed": sum(a == UNCLEAR and b != UNCLEAR for a, b in pairs),
        "confusion": {
            label: dict(Counter(b for a, b in pairs if a == label).most_common())
            for label in labels
        },
    }


def _f1(label: str, pairs: list[tuple[str, str]]) -> float:
    hits = sum(a == b == label for a, b in pairs)
    return 2 * hits / max(1, sum((a == label) + (b == label) for a, b in pairs))


def _interval(hits: int, count: int) -> list[float]:
    """Return the 95 % Wilson interval of a share."""
    z, share = 1.96, hits / count
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return [round((middle + sign * half) / (1 + z * z / count), 4) for sign in (-1, 1)]


def _auroc(right: list[str], routes: list[Route]) -> float:
    """Return how well confidence parts in-scope messages from the others (area under ROC)."""
    inside = [r.confidence for r, a in zip(routes, right, strict=True) if a != UNCLEAR]
    outside = [r.confidence for r, a in zip(routes, right, strict=True) if a == UNCLEAR]
    wins = sum((a > b) + (a == b) / 2 for a in inside for b in outside)
    return round(wins / (len(inside) * len(outside)), 4) if inside and outside else 0.0


def _shares(right: list[str], said: list[str], groups: list[str]) -> dict[str, float]:
    counts = Counter(groups)
    hits = Counter(g for a, b, g in zip(right, said, groups, strict=True) if a == b)
    return {group: round(hits[group] / count, 4) for group, count in sorted(counts.items())}


def measure_slots(rows: list[dict[str, str]]) -> dict[str, Any]:
    """Return exact match and token F1 by slot, taking the right intent as given."""
    scores: dict[str, list[tuple[bool, float]]] = {}
    for row in rows:
        found = slots_of(row["intent"], row["text"]).get(row["slot"])
        scores.setdefault(row["slot"], []).append(_slot_score(row["slot"], found, row["value"]))
    return {
        slot: {
            "rows": len(pairs),
            "exact": round(sum(exact for exact, _ in pairs) / len(pairs), 4),
            "token_f1": round(sum(f1 for _, f1 in pairs) / len(pairs), 4),
        }
        for slot, pairs in sorted(scores.items())
    }


def _slot_score(slot: str, found: Any, value: str) -> tuple[bool, float]:
    if slot == "weights":
        wanted = [float(number) for number in value.strip("[]").replace(",", " ").split()]
        exact = len(found or []) == len(wanted) and all(
            abs(a - b) <= WEIGHT_TOLERANCE for a, b in zip(found, wanted, strict=True)
        )
        return exact, float(exact)
    said, wanted_words = (
        Counter(WORD.findall(str(found or "").lower())),
        Counter(WORD.findall(value.lower())),
    )
    common = (said & wanted_words).total()
    f1 = 2 * common / max(1, said.total() + wanted_words.total())
    return str(found or "").strip() == value.strip(), f1


def speed(router: Router, rows: list[dict[str, str]]) -> dict[str, Any]:
    """Time single decisions, in milliseconds."""
    plain, explained = _times(router, rows * 3, False), _times(router, rows, True)
    at = {
        "p50_ms": _quantile(plain, 0.5),
        "p99_ms": _quantile(plain, 0.99),
        "explained_p50_ms": _quantile(explained, 0.5),
    }
    return {"decisions": len(plain), **at, "machine": platform.processor() or platform.machine()}


def _times(router: Router, rows: list[dict[str, str]], wants_nearest: bool) -> list[float]:
    times = []
    for row in rows:
        started = time.perf_counter()
        router.route(RouteRequest(row["text"], wants_nearest=wants_nearest))
        times.append((time.perf_counter() - started) * 1000)
    return sorted(times)


def _quantile(times: list[float], share: float) -> float:
    return round(times[int(len(times) * share)], 3)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the report beside the weights."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--test", type=Path, default=DATA / "test.tsv")
    parser.add_argument("--slots", type=Path, default=DATA / "slots.tsv")
    options = parser.parse_args(arguments)
    router = Router.load(options.model)
    rows = read(options.test)
    sections = {
        "test": measure(router, rows),
        "slots": measure_slots(read(options.slots)),
        "slots_more": measure_slots(read(DATA / "slots_more.tsv")),
        "speed": speed(router, rows),
    }
    path = options.model / "report.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(known | sections, indent=2) + "\n", encoding="utf-8")
    for name in ("accuracy", "accuracy_95", "macro_f1", "out_of_scope_auroc", "by_intent"):
        print(name, sections["test"][name])
    for language, scores in sections["test"]["by_language"].items():
        print(language, {k: scores[k] for k in ("accuracy", "macro_f1", "language_recognised")})
    print("slots", sections["slots"], sections["slots_more"])
    print("speed", sections["speed"])


if __name__ == "__main__":
    main()
