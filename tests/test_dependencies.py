"""Each extra is complete: what a service imports, its extra or the base declares."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/app.py"))
# Imported only where a model is prepared, or halved for a GPU: a service runs without them.
SHARED = {"opentelemetry": "opentelemetry-api"}  # many distributions fill the folder
PREPARES = {"kit.minilm", "kit.export", "kit.half", "huggingface_hub"}


def test_there_are_services_to_look_at():
    assert {"classifier", "qa"} <= set(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_a_services_extra_declares_all_that_the_service_imports(service: str):
    start = [_module(path) for path in (ROOT / "services" / service).rglob("*.py")]
    wanted = _third_party(_reachable(start, stop=PREPARES))
    assert not wanted - _declared(service)


def test_the_models_extra_declares_all_that_preparing_a_model_imports():
    wanted = _third_party(_reachable(["kit.minilm", "kit.export", "kit.models"], stop=set()))
    assert not wanted - _declared("models")


def test_the_base_declares_all_that_an_app_without_a_model_imports():
    wanted = _third_party(_reachable(["kit.app", "kit.serve", "kit.client"], stop=PREPARES))
    assert not wanted - _declared(None)


def test_every_requirement_has_an_exact_version_for_images_and_ci():
    pinned = {
        _name(line)
        for line in (ROOT / "deploy/constraints.txt").read_text().splitlines()
        if "==" in line
    }
    needed = {_name(line) for lines in _every_requirement() for line in lines}
    assert not needed - pinned


def _every_requirement() -> Iterator[list[str]]:
    yield PROJECT["dependencies"]
    yield from EXTRAS.values()


def _declared(extra: str | None) -> set[str]:
    lines = PROJECT["dependencies"] + (EXTRAS[extra] if extra else [])
    return {_name(line) for line in lines}


def _name(requirement: str) -> str:
    """Return a requirement's distribution name in its normal form (PEP 503)."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def _third_party(modules: set[str]) -> set[str]:
    """Return the distributions that hold the modules which are neither ours nor Python's."""
    tops = {module.partition(".")[0] for module in modules}
    tops -= {"kit", "services"} | sys.stdlib_module_names
    where = packages_distributions()
    return {SHARED.get(top) or (_name(where[top][0]) if top in where else top) for top in tops}


def _reachable(start: list[str], stop: set[str]) -> set[str]:
    """Return every module that is imported from `start` on, following ours; `stop` is left out."""
    seen: set[str] = set()
    waiting = list(start)
    while waiting:
        module = waiting.pop()
        if module in seen or module in stop or module.partition(".")[0] in stop:
            continue
        seen.add(module)
        waiting += _imports(module)
    return seen


@cache
def _imports(module: str) -> list[str]:
    """Return what one of our modules imports, also inside functions; nothing for a foreign one."""
    path = _path(module)
    if path is None:
        return []
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [node.module, *(name for name in below if _path(name))]
    return found


def _path(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
    options = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in options if path.is_file()), None)


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
