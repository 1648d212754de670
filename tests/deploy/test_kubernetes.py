"""Each overlay is valid, and every pod in it keeps the rules of the house."""

import json
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from benchmarks.capacity.__main__ import SPIKE
from benchmarks.capacity.simulation import POLL_SECONDS
from deploy import generate
from deploy.settings_tables import SERVICES, classes, variables
from kit.serve import ANSWER_SECONDS, LINGER_SECONDS
from tests.deploy import manifests
from tests.deploy.manifests import OURS, OVERLAYS, Object

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = Path(__file__).parent / "schemas"
OLDEST = "1.30"  # what docs/operations.md promises; preStop.sleep came with it
LIBRARIES_READ = {"HF_HUB_OFFLINE", "HF_HOME", "HOME", "OMP_NUM_THREADS"}

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def mebibytes(quantity: str) -> float:
    units = {"Mi": 1.0, "Gi": 1024.0}
    return float(quantity[:-2]) * units[quantity[-2:]]


@every_overlay
def test_the_rendered_overlay_is_what_kustomize_makes_of_it(overlay: str):
    made = generate.rendered(overlay)
    if made is None:
        pytest.skip("neither kubectl nor kustomize is installed")

    def by_name(text: str) -> dict[tuple[str, str], Object]:
        return {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(text)}

    committed = (generate.KUBERNETES / "rendered" / f"{overlay}.yaml").read_text()
    assert by_name(made) == by_name(committed), "run python -m deploy.generate"


@every_overlay
@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_kubernetes_accepts_every_object(overlay: str, version: str):
    known = 0
    for each in manifests.objects(overlay):
        if "." in each["apiVersion"] and not each["apiVersion"].split("/")[0].endswith("k8s.io"):
            continue  # a custom resource, below
        kubernetes_validate.validate(each, version, strict=True)
        known += 1
    assert known > 40


@every_overlay
def test_the_operators_accept_their_objects(overlay: str):
    own = {schema.stem: json.loads(schema.read_text()) for schema in SCHEMAS.glob("*.json")}
    custom = [each for each in manifests.objects(overlay) if each["kind"] in own]
    for each in custom:
        jsonschema.validate(each, own[each["kind"]])
    kinds = sorted(each["kind"] for each in custom)
    assert kinds == (sorted(own) if overlay == "gpu" else [])


@every_overlay
def test_everything_that_runs_is_there(overlay: str):
    running = {*OURS, "redis", "postgres"} | ({"models"} if overlay == "gpu" else set())
    assert set(manifests.pods(overlay)) == running


@every_overlay
def test_no_container_has_rights_that_it_does_not_need(overlay: str):
    for name, pod in manifests.pods(overlay).items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(pod):
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False, name
            assert rights["readOnlyRootFilesystem"] is True, name
            assert rights["capabilities"] == {"drop": ["ALL"]}, name
            assert "/tmp" in {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}


@every_overlay
def test_every_container_says_what_it_needs_and_what_it_may_take(overlay: str):
    for name, pod in manifests.pods(overlay).items():
        for container in containers(pod):
            for kind in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][kind]), (name, kind)


def test_requests_cover_the_memory_that_was_measured_and_limits_leave_room():
    measured = json.loads((ROOT / "benchmarks/results/footprint.json").read_text())
    for name, figures in measured["results"]["processes"].items():
        resources = manifests.pods("cpu")[name]["containers"][0]["resources"]
        assert mebibytes(resources["requests"]["memory"]) >= figures["peak_mib"], name
        assert mebibytes(resources["limits"]["memory"]) >= 1.5 * figures["peak_mib"], name


@every_overlay
def test_every_server_is_probed_for_start_work_and_life(overlay: str):
    for name, pod in manifests.pods(overlay).items():
        if name == "models":
            continue
        [container] = pod["containers"]
        probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
        assert all(probe["timeoutSeconds"] > 2 for probe in probes.values()), (
            name
        )  # /readyz takes 2
        if name in OURS:
            paths = {kind: probe["httpGet"]["path"] for kind, probe in probes.items()}
            assert paths == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/livez"}


@every_overlay
def test_the_grace_period_covers_the_drain(overlay: str):
    settings = manifests.settings(overlay)
    for name in OURS:
        pod = manifests.pods(overlay)[name]
        waits = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        drain = float(settings[f"{manifests.service_of(name).upper()}_DRAIN_SECONDS"])
        longest = waits + drain + LINGER_SECONDS + ANSWER_SECONDS
        assert longest < pod["terminationGracePeriodSeconds"], name


@every_overlay
def test_kubernetes_sets_no_variables_of_its_own(overlay: str):
    # A service called `qa` would give every pod QA_PORT=tcp://10.0.0.1:8002.
    assert all(pod["enableServiceLinks"] is False for pod in manifests.pods(overlay).values())


@every_overlay
def test_every_setting_is_one_that_some_service_reads(overlay: str):
    known = set().union(*(variables(service) for service in SERVICES))
    given = {n for n in manifests.settings(overlay) if not manifests.is_of_a_missing_service(n)}
    assert not given - known


@every_overlay
def test_every_variable_of_a_container_is_one_that_it_reads(overlay: str):
    for name in OURS:
        service = manifests.service_of(name)
        if service not in SERVICES:
            continue
        for container in containers(manifests.pods(overlay)[name]):
            given = {variable["name"] for variable in container["env"]}
            assert not given - variables(service) - LIBRARIES_READ, name


@every_overlay
def test_settings_have_values_that_the_services_take(overlay: str, monkeypatch: pytest.MonkeyPatch):
    for name, value in manifests.settings(overlay).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GATEWAY_KEYS", f"{'0' * 64} acme")
    monkeypatch.setenv("LISTEN_HOST", "0.0.0.0")
    for service in SERVICES:
        for settings in classes(service):
            assert settings().drain_seconds == 5


@every_overlay
def test_ports_are_those_that_the_services_listen_to(overlay: str):
    ports = {
        each["metadata"]["name"]: each["spec"]["ports"][0]["port"]
        for each in manifests.of_kind(overlay, "Service")
    }
    for name in OURS:
        service = manifests.service_of(name)
        if service not in SERVICES:
            continue
        listens = classes(service)[-1 if name.endswith("-worker") else 0]
        expected = listens.model_fields["port"].default
        [port] = manifests.pods(overlay)[name]["containers"][0]["ports"]
        assert (port["containerPort"], port["name"]) == (expected, "http")
        assert ports[name] == expected


@every_overlay
def test_secrets_come_from_the_one_secret_that_the_documentation_makes(overlay: str):
    made = set((ROOT / "docs" / "operations.md").read_text().split("--from-literal=")[1:])
    keys = {part.partition("=")[0] for part in made}
    for name, pod in manifests.pods(overlay).items():
        for container in containers(pod):
            for variable in container.get("env", []):
                if "valueFrom" in variable:
                    reference = variable["valueFrom"]["secretKeyRef"]
                    assert reference["name"] == "switchboard", name
                    assert reference["key"] in keys, name


@every_overlay
def test_what_serves_may_be_moved_one_by_one_and_is_spread(overlay: str):
    budgets = {
        each["spec"]["selector"]["matchLabels"][manifests.NAME]
        for each in manifests.of_kind(overlay, "PodDisruptionBudget")
    }
    assert budgets == {*OURS, "redis", "postgres"}
    for name in OURS:
        spread = manifests.pods(overlay)[name]["topologySpreadConstraints"]
        assert [rule["topologyKey"].split("/")[1] for rule in spread] == ["hostname", "zone"]


@every_overlay
def test_stateless_services_scale_by_processor_time_and_have_no_fixed_number(overlay: str):
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in manifests.of_kind(overlay, "HorizontalPodAutoscaler")}  # fmt: skip
    assert scaled == {"gateway", "classifier", "qa", "rag", "imagegen"}
    assert all("replicas" not in each["spec"] for each in manifests.of_kind(overlay, "Deployment"))


def test_workers_follow_the_queue_and_leave_slowly():
    [scaled] = manifests.of_kind("gpu", "ScaledObject")
    assert scaled["spec"]["scaleTargetRef"] == {"name": "imagegen-worker"}
    waiting, busy = (trigger["metadata"] for trigger in scaled["spec"]["triggers"])
    assert "imagegen_backlog_seconds" in waiting["query"]
    assert "imagegen_gpu_busy_seconds_total" in busy["query"]
    simulated = (SPIKE.target_seconds, SPIKE.target_busy, POLL_SECONDS)
    used = (
        float(waiting["threshold"]),
        float(busy["threshold"]),
        scaled["spec"]["pollingInterval"],
    )
    assert used == simulated
    behaviour = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behaviour["scaleDown"]["stabilizationWindowSeconds"] >= 300


def test_a_worker_on_the_gpu_overlay_gets_a_gpu():
    [container] = manifests.pods("gpu")["imagegen-worker"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_pods_wait_for_their_models_in_their_own_image():
    for name, pod in manifests.pods("gpu").items():
        for waiting in pod.get("initContainers", []):
            assert waiting["image"] == pod["containers"][0]["image"], name
    waits = {name for name, pod in manifests.pods("gpu").items() if "initContainers" in pod}
    assert waits == {"gateway", "classifier", "qa", "rag", "imagegen-worker"}


def test_every_image_is_built_here_or_has_an_exact_version():
    for overlay in OVERLAYS:
        for pod in manifests.pods(overlay).values():
            for container in containers(pod):
                name, _, tag = container["image"].partition(":")
                assert tag not in ("", "latest"), name
