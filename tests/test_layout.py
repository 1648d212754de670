"""Every service is built the same way, so that who knows one knows all."""

import importlib
import inspect
import tomllib
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from kit.settings import ServiceSettings

ROOT = Path(__file__).resolve().parents[1]
SERVICES = sorted(
    folder.name for folder in (ROOT / "services").iterdir() if (folder / "app.py").is_file()
)
SHARED_FILES = ("app.py", "routes.py", "schemas.py", "settings.py", "README.md")
each_service = pytest.mark.parametrize("service", SERVICES)


def settings_of(service: str) -> type[ServiceSettings]:
    chosen: type[ServiceSettings] = importlib.import_module(f"services.{service}.settings").Settings
    return chosen


def test_every_folder_of_services_is_a_service():
    folders = {path.name for path in (ROOT / "services").iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} == set(SERVICES)


@each_service
def test_a_service_has_the_shared_files(service: str):
    missing = [name for name in SHARED_FILES if not (ROOT / "services" / service / name).is_file()]
    assert not missing


@each_service
def test_a_service_has_tests_and_an_extra(service: str):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert service in extras
    assert list((ROOT / "tests" / service).glob("test_*.py"))


@each_service
def test_a_service_is_built_out_of_plain_arguments(service: str):
    create_app = importlib.import_module(f"services.{service}.app").create_app
    parameters = inspect.signature(create_app).parameters
    assert "settings" in parameters
    assert all(parameter.default is None for parameter in parameters.values())


@each_service
def test_every_setting_says_what_it_does(service: str):
    silent = [
        name
        for name, field in settings_of(service).model_fields.items()
        if not (field.description or "").endswith(".")
    ]
    assert not silent


@each_service
def test_settings_carry_the_services_name_and_are_frozen(service: str):
    config = settings_of(service).model_config
    assert config.get("env_prefix") == f"{service.upper()}_"
    assert config.get("frozen") is True


@each_service
def test_every_setting_is_in_the_services_readme(service: str):
    readme = (ROOT / "services" / service / "README.md").read_text(encoding="utf-8")
    own = set(settings_of(service).model_fields) - set(ServiceSettings.model_fields)
    prefix = f"{service.upper()}_"
    assert not {
        f"{prefix}{name.upper()}" for name in own if f"{prefix}{name.upper()}" not in readme
    }


def test_default_ports_differ():
    ports = [settings_of(service).model_fields["port"].default for service in SERVICES]
    assert len(set(ports)) == len(ports)


def test_no_service_listens_to_the_world_by_default():
    assert {settings_of(service).model_fields["host"].default for service in SERVICES} == {
        "127.0.0.1"
    }


def test_settings_are_the_only_readers_of_the_environment_in_services():
    readers = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "services").rglob("*.py")
        if "os.environ" in path.read_text() or "getenv" in path.read_text()
    ]
    assert not readers
    assert issubclass(ServiceSettings, BaseSettings)
