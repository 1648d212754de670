"""Load on one service alone, or on the gateway: `locust -f tests/load/locustfile.py Classifier ...`.

Every class sends what its mix says at the times that its pattern says, whatever becomes of the
answers: a service that slows down is not spared. `python -m tests.load.run` starts everything,
chooses the rates and judges.
"""

import json
import random
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from tests.load.arrivals import PATTERNS, arrivals
from tests.load.mixes import BUDGET_SECONDS, COLLECTION, MIXES, Wish, documents
from tests.load.verdict import Answer

LATE_SECONDS = 5.0  # later than that no answer is waited for
POLL_SECONDS = 0.25
LOST = 0


def add_arguments(parser: LocustArgumentParser) -> None:
    """Take the pattern; `users` and `run-time` mean nothing here."""
    parser.add_argument("--pattern", choices=PATTERNS, default="steady")
    parser.add_argument("--rate", type=float, default=5.0, help="requests per second, at its most")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--answers", default="", help="a file for one JSON line per request")


def write(environment: Environment, **_: Any) -> None:
    """Keep every single answer."""
    options = environment.parsed_options
    if options is not None and options.answers:
        lines = "".join(json.dumps(vars(answer)) + "\n" for answer in ANSWERS)
        Path(options.answers).write_text(lines, encoding="utf-8")


ANSWERS: list[Answer] = []
events.init_command_line_parser.add_listener(add_arguments)  # type: ignore[no-untyped-call]
events.quitting.add_listener(write)  # type: ignore[no-untyped-call]


class OpenLoop(FastHttpUser):
    """The one user, who stands for all: sends each request when it is due."""

    abstract = True
    concurrency = 2000  # connections
    network_timeout = max(BUDGET_SECONDS.values()) + LATE_SECONDS

    @property
    def mix(self) -> str:
        """Return the name of the mix."""
        return type(self).__name__.lower()

    def on_start(self) -> None:
        """Put in what the requests ask about."""
        if self.mix in ("rag", "gateway"):
            root = f"/v1/collections/{COLLECTION}"
            self.client.put(root, json={}, name="(prepare)")
            self.client.post(
                f"{root}/documents",
                json=documents(),
                headers={"Prefer": "wait=60"},
                name="(prepare)",
            )

    @task
    def send_all(self) -> None:
        """Send everything, wait for the last answer and end the run."""
        options: Namespace = self.environment.parsed_options
        dice = random.Random(options.seed)
        started = time.monotonic()
        sent = []
        for due in arrivals(options.pattern, options.rate, options.seconds, options.seed):
            gevent.sleep(max(0.0, started + due - time.monotonic()))
            sent.append(gevent.spawn(self._send, MIXES[self.mix](dice), due, started))
        gevent.joinall(sent)
        if self.environment.runner:
            self.environment.runner.quit()

    def _send(self, wish: Wish, due: float, started: float) -> None:
        budget = BUDGET_SECONDS[self.mix]
        headers = {"X-Request-Timeout-Ms": str(round(budget * 1000))} | wish.headers
        with self.client.post(
            wish.path,
            json=wish.body,
            headers=headers,
            name=wish.name,
            catch_response=True,
        ) as response:
            status = response.status_code or LOST
            retry_after = (response.headers or {}).get("Retry-After", "")
            if status == 202 and self.mix == "imagegen":
                status = self._painted(response.headers["Location"], wish, started + due + budget)
            if status < 300 and status != LOST:
                response.success()
            elif retry_after:
                response.failure("refused")  # as told, with the time to come back
            else:
                response.failure(f"status {status}")
        took = time.monotonic() - started - due
        ANSWERS.append(Answer(wish.name, due, took, status, bool(retry_after)))

    def _painted(self, where: str, wish: Wish, until: float) -> int:
        """Return 200 once a picture is there, 504 when it is not by then."""
        while time.monotonic() < until + LATE_SECONDS:
            with self.client.get(
                where, headers=wish.headers, name="(look)", catch_response=True
            ) as response:
                job = response.json()
                response.success()
            if job["status"] == "done":
                return 200
            if job["status"] in ("failed", "cancelled"):
                return 504
            gevent.sleep(POLL_SECONDS)
        return 504


class Classifier(OpenLoop):
    """Emotions and labels of one's own."""


class Qa(OpenLoop):
    """Answers from a text."""


class Rag(OpenLoop):
    """Search and answers from documents."""


class Imagegen(OpenLoop):
    """Pictures, from order to file."""


class Gateway(OpenLoop):
    """Whatever people say, one front door."""
