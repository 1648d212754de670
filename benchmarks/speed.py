"""How long the usual requests take on this machine: `python -m benchmarks.speed`.

Starts the system on free ports and sends one request at a time: five rounds, in each of which every request gets its
turn, so that whatever else the machine does hits all of them alike. Machines are noisy: milliseconds are worth
little without the load average beside them, the ratio of two requests of the same rounds is worth more.
Writes results/speed.json.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.setting import RESULTS, client, post, record, with_own_system
from local.stack import Stack

ROUNDS, TURNS = 5, 20
PICTURES = 2  # per round instead of TURNS; one takes as long as many answers
TEXT = "Thank you so much, this is exactly what I was hoping for all week long!"
SENTENCE = (
    "The lighthouse on the cape was built by the engineer Ada Lindqvist, who also lived there. "
)
CONTEXT = (SENTENCE * 12)[:991] + " In 1887."

Request = Callable[[], Any]


def requests(gateway: Any, classifier: Any) -> dict[str, Request]:
    """Return what is timed, by name."""

    def classify(count: int, service: Any = gateway) -> Request:
        return lambda: post(service, "/v1/classify", {"texts": [TEXT] * count})

    question = {"question": "Who built the lighthouse?", "context": CONTEXT}
    wish = {"text": "draw a red circle above a blue square"}
    return {
        "classify_1_direct": classify(1, classifier),
        "classify_1": classify(1),
        "classify_32_direct": classify(32, classifier),
        "classify_32": classify(32),
        "answer_1000_characters": lambda: post(gateway, "/v1/answer", question),
        "route": lambda: post(gateway, "/v1/route", wish),
        "assist_draw": lambda: post(gateway, "/v1/assist", wish, Prefer="wait=60"),
    }


def turn_ms(request: Request, times: int) -> float:
    """Return the median of some turns in milliseconds."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        request()
        took.append((time.perf_counter() - started) * 1000)
    return median(took)


def measure(stack: Stack) -> dict[str, Any]:
    """Time every request in every round, after one turn of each to warm up."""
    with client(stack.url("gateway")) as gateway, client(stack.url("classifier")) as classifier:
        timed = requests(gateway, classifier)
        for request in timed.values():
            request()
        rounds = [
            {
                name: turn_ms(request, PICTURES if name == "assist_draw" else TURNS)
                for name, request in timed.items()
            }
            for _ in range(ROUNDS)
        ]
    return summary(rounds)


def summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Return each request's median and extremes over the rounds, and ratios within rounds."""

    def ratio(above: str, below: str) -> float:
        return round(median(one[above] / one[below] for one in rounds), 2)

    results: dict[str, Any] = {}
    for name in rounds[0]:
        found = [one[name] for one in rounds]
        parts = {"median_ms": median(found), "least_ms": min(found), "most_ms": max(found)}
        results[name] = {part: round(value, 2) for part, value in parts.items()}
    results["ratios"] = {
        "gateway_to_direct_1_text": ratio("classify_1", "classify_1_direct"),
        "gateway_to_direct_32_texts": ratio("classify_32", "classify_32_direct"),
        "32_texts_to_1": ratio("classify_32_direct", "classify_1_direct"),
    }
    return results


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "speed.json")
    given = parser.parse_args()
    before = os.getloadavg()
    results = with_own_system(measure)
    load = {"before": before, "after": os.getloadavg()}
    record(given.out, results, load_average=load, rounds=ROUNDS, turns=TURNS)
    print("load average", load)
    for name, values in results.items():
        print(name, values)


if __name__ == "__main__":
    main()
