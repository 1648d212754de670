"""docker-compose.yml, the local stack and the settings classes describe one and the same system."""

import importlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from kit.settings import ServiceSettings
from local import stack

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/app.py"))
IMAGE_ENVIRONMENT = {"OMP_NUM_THREADS"}  # read by libraries, not by our settings


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    described = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services: dict[str, Any] = described["services"]
    return services


def settings_of(block: dict[str, Any]) -> type[ServiceSettings]:
    name = block["build"]["args"]["SERVICE"]
    settings: type[ServiceSettings] = importlib.import_module(f"services.{name}.settings").Settings
    return settings


def variables(settings: type[ServiceSettings]) -> set[str]:
    """Return every environment variable that a settings class reads."""
    prefix = settings.model_config.get("env_prefix", "")
    found = set()
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        found.add(prefix + name.upper())
        found.update(str(choice) for choice in getattr(alias, "choices", []))
    return found


def built(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: block for name, block in compose.items() if "build" in block}


def test_every_service_has_a_container(compose: dict[str, Any]):
    assert {block["build"]["args"]["SERVICE"] for block in built(compose).values()} == set(SERVICES)


def test_every_variable_is_one_that_the_service_reads(compose: dict[str, Any]):
    for name, block in built(compose).items():
        unknown = set(block["environment"]) - variables(settings_of(block)) - IMAGE_ENVIRONMENT
        assert not unknown, name


def test_addresses_name_a_container_and_its_port(compose: dict[str, Any]):
    for name, block in built(compose).items():
        for variable, value in block["environment"].items():
            url = urlsplit(str(value))
            if url.scheme == "http":
                assert url.hostname in compose, (name, variable)
                settings = settings_of(compose[url.hostname])
                assert url.port == settings.model_fields["port"].default, (name, variable)


def test_the_local_stack_uses_the_services_usual_ports():
    for name in SERVICES:
        settings = importlib.import_module(f"services.{name}.settings").Settings
        assert stack.PORTS[name] == settings.model_fields["port"].default


def test_only_the_gateway_is_published_and_only_on_loopback(compose: dict[str, Any]):
    published = {name: block["ports"] for name, block in compose.items() if "ports" in block}
    assert list(published) == ["gateway"]
    assert all(port.startswith("127.0.0.1:") for port in published["gateway"])


def test_the_worker_shares_the_apis_queue_and_its_pictures_in_a_volume(compose: dict[str, Any]):
    api, worker = compose["imagegen"], compose["imagegen-worker"]
    assert worker["environment"] == api["environment"]
    assert worker["volumes"] == api["volumes"]
    [volume] = api["volumes"]
    storage = api["environment"]["IMAGEGEN_STORAGE_URL"]
    assert storage.startswith(f"file://{volume.split(':')[1]}/")


def test_our_containers_have_no_privileges(compose: dict[str, Any]):
    for block in built(compose).values():
        assert block["cap_drop"] == ["ALL"]
        assert block["read_only"] is True
    recipe = (ROOT / "deploy" / "Dockerfile").read_text()
    assert "\nUSER 10001" in recipe
    assert "\nHEALTHCHECK" in recipe


def test_the_local_stack_sets_only_what_services_read():
    known = {"OMP_NUM_THREADS", "PYTHONUNBUFFERED"}
    for name in SERVICES:
        module = importlib.import_module(f"services.{name}.settings")
        classes = [c for c in vars(module).values() if isinstance(c, type)]
        for settings in classes:
            known |= variables(settings) if issubclass(settings, ServiceSettings) else set()
    for program in stack.programs(stack.free_ports(), Path("/data"), Path("/run/redis.sock")):
        assert set(program.environment) <= known, program.name
