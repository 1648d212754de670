"""A real Prometheus watches the running system under load: whatever is drawn or alerted on is there."""

import math
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from deploy import dashboards, generate
from tests.running import RunningStack

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules"
METRIC = re.compile(r"\b(?:switchboard|imagegen|rag|process|service:|imagegen:)[a-z0-9_:]*")
LOAD_SECONDS = 12.0
CONTEXT = "The lighthouse was built by Ada Lindqvist in 1887. Its tower is 41 metres high. " * 8


@pytest.fixture(scope="module")
def prometheus(
    running_stack: RunningStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx2.Client]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (Debian: apt install prometheus)")
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration(running_stack)))
    with started(program, folder) as client:
        load(running_stack)
        time.sleep(3)  # two more looks and two more evaluations
        yield client


def configuration(stack: RunningStack) -> dict[str, Any]:
    """Return the shipped configuration with this stack's ports, and a look every second."""
    described = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    described["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    described["rule_files"] = [f"{RULES}/*.yml"]
    jobs = []
    for job in described["scrape_configs"]:
        name = "worker" if job["job_name"] == "imagegen-worker" else job["job_name"]
        if name in stack.ports:
            del job["dns_sd_configs"]
            job["static_configs"] = [{"targets": [f"127.0.0.1:{stack.ports[name]}"]}]
            jobs.append(job)
    return {**described, "scrape_configs": jobs}


@contextmanager
def started(program: str, folder: Path) -> Iterator[httpx2.Client]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    flags = ["config.file=prometheus.yml", "storage.tsdb.path=data"]
    command = [program, f"--web.listen-address={address}", *(f"--{flag}" for flag in flags)]
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
    try:
        with httpx2.Client(base_url=f"http://{address}", trust_env=False, timeout=10) as client:
            wait_until_ready(client, folder / "log")
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def wait_until_ready(client: httpx2.Client, log: Path) -> None:
    give_up = time.monotonic() + 20
    while True:
        try:
            if client.get("/-/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        assert time.monotonic() < give_up, log.read_text()
        time.sleep(0.1)


def load(stack: RunningStack) -> None:
    """Ask everything there is from several sides for a while, also for what is not there."""
    documents = {"documents": [{"id": "one", "title": "Lighthouse", "text": CONTEXT}]}
    stack.gateway.put("/v1/collections/watched", json={}).raise_for_status()
    stack.gateway.post("/v1/collections/watched/documents", json=documents).raise_for_status()
    until = time.monotonic() + LOAD_SECONDS
    threads = [threading.Thread(target=ask, args=(stack, until)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def ask(stack: RunningStack, until: float) -> None:
    paths: dict[str, Any] = {
        "/v1/classify": {"texts": ["Thank you so much!", "I am afraid."]},
        "/v1/answer": {"question": "Who built it?", "context": CONTEXT},
        "/v1/collections/watched/search": {"query": "tower", "k": 2},
        "/v1/collections/watched/ask": {"question": "How high is the tower?"},
        "/v1/images": {"prompt": "a red circle", "steps": 2},
        "/v1/assist": {"text": "what can you do?"},
    }
    with httpx2.Client(base_url=stack.gateway.base_url, trust_env=False, timeout=60) as client:
        while time.monotonic() < until:
            for path, body in paths.items():
                client.post(path, json=body)
            client.get("/v1/images/none")
            for port in stack.ports.values():  # also who is not behind these paths
                client.get(f"http://127.0.0.1:{port}/openapi.json")


def ask_prometheus(client: httpx2.Client, expression: str) -> list[dict[str, Any]]:
    answer = client.get("/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", (expression, answer)
    found: list[dict[str, Any]] = answer["data"]["result"]
    return found


def expressions() -> list[tuple[str, str]]:
    return [
        (name, query)
        for name, panels in dashboards.DASHBOARDS.items()
        for panel in panels
        for query, _ in panel.queries
    ]


def test_every_panel_shows_numbers(prometheus: httpx2.Client, running_stack: RunningStack):
    empty = []
    for name, expression in expressions():
        if name != "overview" and name not in running_stack.ports:
            continue  # this checkout has no such service
        values = [float(each["value"][1]) for each in ask_prometheus(prometheus, expression)]
        if not any(math.isfinite(value) for value in values):
            empty.append((name, expression))
    assert not empty


def test_what_panels_rules_and_autoscaling_ask_for_is_measured(prometheus: httpx2.Client):
    rules = [r for g in generate.prometheus_rule()["spec"]["groups"] for r in g["rules"]]
    workers = yaml.safe_load((ROOT / "deploy/kubernetes/components/keda/workers.yaml").read_text())
    asked = [rule["expr"] for rule in rules]
    asked += [expression for _, expression in expressions()]
    asked += [trigger["metadata"]["query"] for trigger in workers["spec"]["triggers"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    names = {name for expression in asked for name in METRIC.findall(unquoted(expression))}
    known = set(prometheus.get("/api/v1/metadata").json()["data"])
    unknown = {name for name in names if name not in known | recorded and family(name) not in known}
    assert len(names) > 20
    assert not unknown


def unquoted(expression: str) -> str:
    return re.sub(r'"[^"]*"', '""', expression)


def family(name: str) -> str:
    return re.sub(r"_(bucket|sum|count|total)$", "", name)


def test_every_rule_is_evaluated_and_records_something(prometheus: httpx2.Client):
    groups = prometheus.get("/api/v1/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == sum(len(g["rules"]) for g in generate.prometheus_rule()["spec"]["groups"])
    assert not [rule for rule in rules if rule["health"] != "ok"]
    for rule in rules:
        if rule["type"] == "recording":
            assert ask_prometheus(prometheus, rule["name"]), rule["name"]


def test_every_service_answers_prometheus(prometheus: httpx2.Client, running_stack: RunningStack):
    up = {each["metric"]["job"]: each["value"][1] for each in ask_prometheus(prometheus, "up")}
    names = {"imagegen-worker" if n == "worker" else n for n in running_stack.ports}
    assert up == dict.fromkeys(names, "1")


def test_autoscaling_gets_one_number(prometheus: httpx2.Client):
    workers = yaml.safe_load((ROOT / "deploy/kubernetes/components/keda/workers.yaml").read_text())
    for trigger in workers["spec"]["triggers"]:
        [only] = ask_prometheus(prometheus, trigger["metadata"]["query"])
        assert math.isfinite(float(only["value"][1]))


def test_a_healthy_system_calls_nobody(prometheus: httpx2.Client):
    firing = ask_prometheus(prometheus, 'ALERTS{alertstate="firing", severity="critical"}')
    assert not firing
