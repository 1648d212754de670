"""docker-compose.yml, the local stack and the settings classes describe one and the same system."""

import importlib
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml

from deploy.settings_tables import SERVICES, classes, variables
from kit.settings import ServiceSettings
from local import stack
from tests.deploy import manifests
from tests.deploy.manifests import OURS

ROOT = Path(__file__).resolve().parents[2]
INTERPOLATED = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
IMAGE_ENVIRONMENT = {"HOME", "OMP_NUM_THREADS"}  # read by libraries, not by our settings


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    described = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services: dict[str, Any] = described["services"]
    return services


def settings_of(block: dict[str, Any]) -> type[ServiceSettings]:
    name = block["build"]["args"]["SERVICE"]
    return classes(name)[0]


def built(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the containers of ours whose service this checkout has."""
    return {
        name: block
        for name, block in compose.items()
        if "build" in block and block["build"]["args"]["SERVICE"] in SERVICES
    }


def test_no_name_is_given_twice():
    """PyYAML takes the last one in silence; Docker Compose refuses the file."""

    def look(node: yaml.Node | None) -> None:
        if isinstance(node, yaml.MappingNode):
            names = [key.value for key, _ in node.value]
            assert len(names) == len(set(names)), names
            for _, value in node.value:
                look(value)
        elif isinstance(node, yaml.SequenceNode):
            for each in node.value:
                look(each)

    look(yaml.compose((ROOT / "docker-compose.yml").read_text()))


def test_every_service_has_a_container(compose: dict[str, Any]):
    assert {block["build"]["args"]["SERVICE"] for block in built(compose).values()} == set(SERVICES)
    assert set(OURS) <= set(compose)


def test_every_variable_is_one_that_the_service_reads(compose: dict[str, Any]):
    for name, block in built(compose).items():
        known = variables(block["build"]["args"]["SERVICE"]) | IMAGE_ENVIRONMENT
        unknown = {
            variable
            for variable in set(block["environment"]) - known
            if not manifests.is_of_a_missing_service(variable)
        }
        assert not unknown, name


def test_addresses_name_a_container_and_its_port(compose: dict[str, Any]):
    for name, block in built(compose).items():
        for variable, value in block["environment"].items():
            url = urlsplit(str(value))
            if url.scheme == "http":
                assert url.hostname in compose, (name, variable)
                if url.hostname not in built(compose):
                    continue
                settings = settings_of(compose[url.hostname])
                assert url.port == settings.model_fields["port"].default, (name, variable)


def test_the_local_stack_uses_the_services_usual_ports():
    for name in SERVICES:
        settings = importlib.import_module(f"services.{name}.settings").Settings
        assert stack.PORTS[name] == settings.model_fields["port"].default


def test_only_the_gateway_is_published_and_only_on_loopback(compose: dict[str, Any]):
    published = {name: block["ports"] for name, block in compose.items() if "ports" in block}
    assert set(published) == {"gateway", "prometheus", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_the_compose_specification_accepts_the_file():
    schemas = files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((schemas / "compose-spec.json").read_text())
    jsonschema.validate(yaml.safe_load((ROOT / "docker-compose.yml").read_text()), schema)


def test_what_comes_with_a_profile_comes_with_it_alone(compose: dict[str, Any]):
    profiles = {name: block["profiles"] for name, block in compose.items() if "profiles" in block}
    assert profiles == {
        "imagegen-worker-gpu": ["gpu"],
        "llm": ["llm"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
        "models": ["models"],
    }


def test_without_a_profile_it_runs_what_kubernetes_runs(compose: dict[str, Any]):
    usual = {name for name, block in compose.items() if "profiles" not in block}
    assert usual == {*OURS, "redis", "postgres"}


def test_images_are_those_of_kubernetes(compose: dict[str, Any]):
    for name, pod in manifests.pods("cpu").items():
        image = pod["containers"][0]["image"]
        ours = compose[name]["image"]
        assert image == ours or image.startswith(f"{ours}:"), name


def test_addresses_are_those_of_kubernetes(compose: dict[str, Any]):
    there = manifests.settings("cpu")
    here = {
        variable: value
        for name, block in compose.items()
        if name in OURS
        for variable, value in block["environment"].items()
    }
    shared = set(there) & set(here)
    assert {variable for variable in there if variable.endswith("_URL")} <= shared
    assert {v: there[v] for v in shared} == {v: here[v] for v in shared}


def test_every_service_with_a_model_can_be_told_which(compose: dict[str, Any]):
    for name, block in built(compose).items():
        settings = settings_of(block)
        prefix = str(settings.model_config.get("env_prefix"))
        for field in ("model", "zero_shot_model", "embedder", "reranker", "prior", "vae"):
            if field in settings.model_fields and name != "gateway":
                variable = f"{prefix}{field.upper()}"
                assert block["environment"][variable] == f"${{{variable}:-}}"
                assert compose["models"]["environment"][variable] == f"${{{variable}:-}}"


def test_what_a_person_may_set_is_named_in_the_documentation():
    text = (ROOT / "docker-compose.yml").read_text()
    documented = (ROOT / "docs" / "operations.md").read_text()
    undocumented = {
        name
        for name, _ in INTERPOLATED.findall(text)
        if name not in documented and not manifests.is_of_a_missing_service(name)
    }
    assert not undocumented


def test_containers_have_the_time_that_a_service_takes_to_end(compose: dict[str, Any]):
    for name, block in built(compose).items():
        assert block["stop_grace_period"] == "75s", name


def test_the_worker_shares_the_apis_queue_and_its_pictures_in_a_volume(compose: dict[str, Any]):
    api, worker = compose["imagegen"], compose["imagegen-worker"]
    assert worker["environment"] == api["environment"]
    assert worker["volumes"] == api["volumes"]
    volume = api["volumes"][0]
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
        known |= variables(name)
    for program in stack.programs(stack.free_ports(), Path("/data"), Path("/run/redis.sock")):
        assert set(program.environment) <= known, program.name
