"""The Kubernetes objects that the tests look at: each overlay as it is rendered."""

from functools import cache
from typing import Any

import yaml

from deploy.generate import KUBERNETES, OVERLAYS
from deploy.settings_tables import SERVICES

Object = dict[str, Any]
OURS = {"gateway", "classifier", "qa", "rag", "imagegen", "imagegen-worker", "console"}
NAME = "app.kubernetes.io/name"
__all__ = ["NAME", "OURS", "OVERLAYS", "Object"]


@cache
def objects(overlay: str) -> tuple[Object, ...]:
    """Return an overlay's objects from the committed rendering, which needs no kubectl."""
    text = (KUBERNETES / "rendered" / f"{overlay}.yaml").read_text()
    return tuple(yaml.safe_load_all(text))


def of_kind(overlay: str, *kinds: str) -> list[Object]:
    return [each for each in objects(overlay) if each["kind"] in kinds]


def pods(overlay: str) -> dict[str, Object]:
    """Return the pod specs of everything that runs, by name."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in of_kind(overlay, "Deployment", "StatefulSet", "Job")
    }


def settings(overlay: str) -> dict[str, str]:
    """Return the configuration that all services share."""
    [config] = of_kind(overlay, "ConfigMap")
    data: dict[str, str] = config["data"]
    return data


def service_of(name: str) -> str:
    """Return whose code runs in a container: workers are imagegen's."""
    return name.removesuffix("-gpu").removesuffix("-worker")


def is_of_a_missing_service(variable: str) -> bool:
    """Tell whether a setting belongs to a service that this checkout does not have."""
    absent = {service_of(name) for name in OURS} - set(SERVICES)
    return any(name.upper() in variable for name in absent)
