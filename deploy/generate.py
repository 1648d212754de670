"""Write what is derived from something else: `python -m deploy.generate`.

Dashboards from deploy/dashboards.py, the Prometheus operator's rules from deploy/prometheus, the tables of
docs/operations.md from the settings classes, and each overlay as `kubectl kustomize` renders it, for
clusters and checks without it. A test fails when one of them is stale.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy import dashboards, settings_tables

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ("cpu", "gpu")
OPERATIONS = ROOT / "docs" / "operations.md"
MADE = "# Made by `python -m deploy.generate`; do not edit.\n"


def files() -> Iterator[tuple[Path, str]]:
    """Yield every derived file but the rendered overlays, which need the first ones written."""
    for name in dashboards.DASHBOARDS:
        content = json.dumps(dashboards.rendered(name), indent=1) + "\n"
        yield DEPLOY / "grafana" / "dashboards" / f"{name}.json", content
    rules = MADE + yaml.safe_dump(prometheus_rule(), sort_keys=False, width=1000)
    yield KUBERNETES / "components" / "monitoring" / "rules.yaml", rules
    yield OPERATIONS, settings_tables.filled_in(OPERATIONS.read_text(encoding="utf-8"))


def prometheus_rule() -> dict[str, Any]:
    """Return the rules as the Prometheus operator takes them."""
    groups: list[Any] = []
    for file in sorted((DEPLOY / "prometheus" / "rules").glob("*.yml")):
        groups += yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "switchboard"},
        "spec": {"groups": groups},
    }


def rendered(overlay: str) -> str | None:
    """Return an overlay as one stream of objects, or None where no kustomize is installed."""
    for program in (["kubectl", "kustomize"], ["kustomize", "build"]):
        if found := shutil.which(program[0]):
            command = [found, program[1], str(KUBERNETES / "overlays" / overlay)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own folder
            return MADE + done.stdout
    return None


def main() -> int:
    """Write everything; return 1 when the overlays could not be rendered."""
    for path, content in files():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    for overlay in OVERLAYS:
        objects = rendered(overlay)
        if objects is None:
            sys.stderr.write("Neither kubectl nor kustomize is here: overlays not rendered.\n")
            return 1
        target = KUBERNETES / "rendered" / f"{overlay}.yaml"
        target.parent.mkdir(exist_ok=True)
        target.write_text(objects, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
