"""Grafana's dashboards, described shortly; `python -m deploy.generate` writes them as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT, COLUMNS = 8, 8, 3
OPERATIONS = "/(livez|readyz|metrics|info)"


@dataclass(frozen=True)
class Panel:
    """One graph: what it shows, its PromQL with legends, and Grafana's name of the unit."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    description: str = ""


def _rate(metric: str, job: str, by: str = "") -> str:
    grouped = f" by ({by})" if by else ""
    return f'sum{grouped} (rate({metric}{{job="{job}"}}[5m]))'


def _never_empty(expression: str) -> str:
    """Show 0 for a counter whose first event is still to come."""
    return f"{expression} or vector(0)"


def _quantiles(metric: str, job: str) -> list[tuple[str, str]]:
    buckets = f'sum by (le) (rate({metric}_bucket{{job="{job}"}}[5m]))'
    return [(f"histogram_quantile({q}, {buckets})", f"p{q * 100:g}") for q in (0.5, 0.9, 0.99)]


def _mean(metric: str, job: str) -> str:
    return f"{_rate(f'{metric}_sum', job)} / {_rate(f'{metric}_count', job)}"


OVERVIEW = (
    Panel("Replicas", [("sum by (job) (up)", "{{job}}")]),
    Panel("Requests", [("service:switchboard_requests:rate5m", "{{service}}")], "reqps"),
    Panel("Failed", [("service:switchboard_errors:ratio5m", "{{service}}")], "percentunit"),
    Panel(
        "Refused as full", [("service:switchboard_refused:ratio5m", "{{service}}")], "percentunit"
    ),
    Panel("Median time", [("service:switchboard_latency_seconds:p50_5m", "{{service}}")], "s"),
    Panel("99th percentile", [("service:switchboard_latency_seconds:p99_5m", "{{service}}")], "s"),
    Panel("Pictures by state", [("imagegen:jobs", "{{state}}")]),
    Panel("Picture backlog", [("imagegen:backlog_seconds", "all workers")], "s"),
    Panel(
        "Models",
        [("max by (job, model, revision, backend) (switchboard_model_info)", "{{job}} {{model}}")],
    ),
)


def common(service: str) -> tuple[Panel, ...]:
    """Return what every service shows; on the metrics the job is the service's name."""
    asked = f'job="{service}", route!~"{OPERATIONS}"'
    requests = f"switchboard_http_requests_total{{{asked}}}"
    times = f"switchboard_http_request_duration_seconds_bucket{{{asked}}}"
    return (
        Panel("Requests by route", [(f"sum by (route) (rate({requests}[5m]))", "{{route}}")], "reqps"),
        Panel("Answers by status", [(f"sum by (status) (rate({requests}[5m]))", "{{status}}")], "reqps"),
        Panel(
            "Time by route, 99th percentile",
            [(f"histogram_quantile(0.99, sum by (route, le) (rate({times}[5m])))", "{{route}}")],
            "s",
        ),
        Panel(
            "Clients that hung up",
            [(_never_empty(_rate("switchboard_abandoned_total", service)), "requests")],
            "reqps",
        ),
        Panel("Memory", [(f'process_resident_memory_bytes{{job="{service}"}}', "{{instance}}")], "bytes"),
        Panel("Processors", [(f'rate(process_cpu_seconds_total{{job="{service}"}}[5m])', "{{instance}}")]),
    )  # fmt: skip


def batching(service: str) -> tuple[Panel, ...]:
    """Return what shows how a model's batches do."""
    return (
        Panel("Backlog", [(f'max(switchboard_backlog_seconds{{job="{service}"}})', "estimated work")], "s"),
        Panel("Oldest in the queue", [(f'max(switchboard_queue_age_seconds{{job="{service}"}})', "age")], "s"),
        Panel(
            "Refused to stay fast",
            [(_never_empty(_rate("switchboard_shed_total", service, "reason")), "{{reason}}")],
            "reqps",
        ),
        Panel("Time in the model per batch", _quantiles("switchboard_inference_seconds", service), "s"),
        Panel("Items per batch", [(_mean("switchboard_batch_items", service), "mean")]),
        Panel("Padding", [(_mean("switchboard_batch_padding_ratio", service), "mean")], "percentunit"),
        Panel("Model is busy", [(_rate("switchboard_inference_seconds_sum", service), "models")], "percentunit"),
        Panel(
            "Computed for nobody",
            [(_never_empty(_rate("switchboard_wasted_inference_seconds_total", service)), "seconds/s")],
        ),
        Panel(
            "Left the queue uncomputed",
            [(_never_empty(_rate("switchboard_dropped_items_total", service, "reason")), "{{reason}}")],
        ),
    )  # fmt: skip


PICTURES = (
    Panel("Jobs by state", [("imagegen:jobs", "{{state}}")]),
    Panel("Backlog", [("imagegen:backlog_seconds", "all workers")], "s"),
    Panel("Workers", [("imagegen:workers", "workers")]),
    Panel("Workers are busy", [("imagegen:busy_ratio5m", "of their time")], "percentunit"),
    Panel("Pictures", [(_rate("imagegen_image_seconds_count", "imagegen-worker"), "pictures")], "ops"),
    Panel("Painting per picture", _quantiles("imagegen_image_seconds", "imagegen-worker"), "s"),
    Panel("Step", _quantiles("imagegen_step_seconds", "imagegen-worker"), "s"),
    Panel("Wait until painted", _quantiles("imagegen_queue_wait_seconds", "imagegen-worker"), "s"),
    Panel("Pictures at once", [(_mean("switchboard_batch_items", "imagegen-worker"), "mean")]),
    Panel("Taken back from lost workers", [("max(increase(imagegen_redelivered_total[1h]))", "per hour")]),
    Panel("Did not fit into memory", [("sum(increase(imagegen_oom_total[1h]))", "per hour")]),
    Panel(
        "Memory of workers",
        [('process_resident_memory_bytes{job="imagegen-worker"}', "{{instance}}")],
        "bytes",
    ),
)  # fmt: skip

DOCUMENTS = (
    Panel("Documents that wait", [("max(rag_documents_waiting)", "documents")]),
    Panel(
        "Documents taken up",
        [(_never_empty("sum by (result) (rate(rag_documents_indexed_total[5m]))"), "{{result}}")],
        "ops",
    ),
)

DASHBOARDS: dict[str, tuple[Panel, ...]] = {
    "overview": OVERVIEW,
    "gateway": common("gateway"),
    "classifier": common("classifier") + batching("classifier"),
    "qa": common("qa") + batching("qa"),
    "imagegen": common("imagegen") + PICTURES,
    "rag": common("rag") + DOCUMENTS + batching("rag"),
    "console": common("console"),
}


def rendered(name: str) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    panels = [_panel(n, panel) for n, panel in enumerate(DASHBOARDS[name])]
    return {
        "uid": f"switchboard-{name}",
        "title": f"Switchboard: {name}",
        "tags": ["switchboard"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [
            {"type": "dashboards", "tags": ["switchboard"], "title": "Switchboard", "asDropdown": True}
        ],
        "panels": panels,
    }  # fmt: skip


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + n), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
            for n, (expr, legend) in enumerate(panel.queries)
        ],
    }
