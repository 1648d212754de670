"""Rules that Prometheus takes, alerts that come when they should, and a runbook for each."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import dashboards, generate
from tests.deploy.manifests import OURS

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
OPERATIONS = ROOT / "docs" / "operations.md"


def promtool(*words: str) -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    done = subprocess.run(
        [program, *words], check=False, capture_output=True, text=True, cwd=PROMETHEUS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules() -> list[dict[str, Any]]:
    groups = generate.prometheus_rule()["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def test_prometheus_takes_the_configuration_and_the_rules():
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")


def test_alerts_come_when_they_should_and_not_before():
    assert "SUCCESS" in promtool("test", "rules", "tests/alerts.yml")


def test_every_alert_is_tested():
    tested = (PROMETHEUS / "tests" / "alerts.yml").read_text()
    raised = set()
    for test in yaml.safe_load(tested)["tests"]:
        raised |= {case["alertname"] for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert raised == set(alerts())


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    section = OPERATIONS.read_text().partition("## Alerts")[2].partition("\n## ")[0]
    assert set(re.findall(r"^### (\w+)$", section, re.MULTILINE)) == set(alerts())


def test_every_alert_says_how_bad_it_is_and_what_happened():
    for name, rule in alerts().items():
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), name
        assert rule["annotations"]["summary"].endswith("."), name


def test_every_service_is_scraped_under_its_name():
    described = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for job in described["scrape_configs"]:
        [target] = job["dns_sd_configs"]
        assert target["names"] == [job["job_name"]]
        assert job["job_name"] in compose
    assert {job["job_name"] for job in described["scrape_configs"]} == OURS


def test_derived_files_are_up_to_date():
    for path, content in generate.files():
        stale = f"{path.relative_to(ROOT)}: run python -m deploy.generate"
        assert path.read_text(encoding="utf-8") == content, stale


def test_there_is_an_overview_and_a_dashboard_for_each_service():
    files = {file.stem for file in (ROOT / "deploy" / "grafana" / "dashboards").glob("*.json")}
    assert files == set(dashboards.DASHBOARDS)
    assert files == {"overview"} | (OURS - {"imagegen-worker"})
