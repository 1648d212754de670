"""The tables of settings in docs/operations.md, read from the settings classes."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from kit.settings import ServiceSettings

SERVICES = sorted(
    path.parent.name for path in (Path(__file__).resolve().parents[1] / "services").glob("*/app.py")
)
PLACE = re.compile(r"(<!-- settings: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def classes(service: str) -> list[type[ServiceSettings]]:
    """Return a service's settings classes: of its API, and of its worker if it has one."""
    module = importlib.import_module(f"services.{service}.settings")
    return [
        found
        for found in vars(module).values()
        if isinstance(found, type)
        and issubclass(found, ServiceSettings)
        and found is not ServiceSettings
    ]


def names(settings: type[ServiceSettings], field: str) -> list[str]:
    """Return the environment variables that set a field, the usual one first."""
    alias = settings.model_fields[field].validation_alias
    choices = [str(choice) for choice in getattr(alias, "choices", [])]
    upper = [choice for choice in choices if choice.isupper()]
    return upper or [f"{settings.model_config.get('env_prefix', '')}{field.upper()}"]


def variables(service: str) -> set[str]:
    """Return every environment variable that a service's processes read."""
    return {
        name
        for settings in classes(service)
        for field in settings.model_fields
        for name in names(settings, field)
    }


def filled_in(text: str) -> str:
    """Return the document with every table made anew."""
    return PLACE.sub(lambda found: found[1] + _table(found[2]) + found[3], text)


def _table(service: str) -> str:
    if service not in {"all", *SERVICES}:
        return ""
    rows = "".join(_rows_of_all() if service == "all" else _rows_of(service))
    return f"| setting | default | what it does |\n|---|---|---|\n{rows}"


def _rows_of_all() -> Iterator[str]:
    """Describe what all services share; a name without the service's prefix stands for all of them."""
    for field, info in ServiceSettings.model_fields.items():
        if field == "port":
            continue
        name = names(ServiceSettings, field)[0]
        prefixed = name if info.validation_alias else f"*SERVICE*_{name}"
        yield _row(prefixed, info)


def _rows_of(service: str) -> Iterator[str]:
    shown = set(ServiceSettings.model_fields) - {"port"}
    for settings in classes(service):
        for field, info in settings.model_fields.items():
            (name, *_) = names(settings, field)
            inherited = ServiceSettings.model_fields.get(field)
            is_same = inherited is not None and inherited.default == info.default
            if name not in shown and not (field in shown and is_same):
                shown.add(name)
                yield _row(name, info)


def _row(name: str, info: Any) -> str:
    meaning = " ".join((info.description or "").split()).replace("|", "\\|")
    code = name if name.startswith("*") else f"`{name}`"
    return f"| {code} | {_default(info)} | {meaning} |\n"


def _default(info: Any) -> str:
    value = info.get_default(call_default_factory=True)
    if value is PydanticUndefined or value is None or value == "":
        return ""
    if isinstance(value, SecretStr):
        return "(secret)"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
