"""The network lets through what docs/architecture.md draws, and nothing else."""

import re
from pathlib import Path

import pytest

from tests.deploy import manifests
from tests.deploy.manifests import NAME, OVERLAYS, Object

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| ([a-z-]+) \| ([a-z, -]+) \|$", re.MULTILINE)
every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def drawn() -> set[tuple[str, str]]:
    """Read the table of the architecture."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    section = text.partition("## Who talks to whom")[2].partition("\n## ")[0]
    rows = [(start, ends) for start, ends in ROW.findall(section) if start != "from"]
    return {(start, end) for start, ends in rows for end in ends.split(", ")}


def labels(overlay: str) -> dict[str, dict[str, str]]:
    kinds = ("Deployment", "StatefulSet", "Job")
    templates = [each["spec"]["template"] for each in manifests.of_kind(overlay, *kinds)]
    return {each["metadata"]["labels"][NAME]: each["metadata"]["labels"] for each in templates}


def selected(selector: Object, overlay: str) -> set[str]:
    """Return the pods that a selector means, as Kubernetes reads it."""

    def fits(pod: dict[str, str]) -> bool:
        exact = all(pod.get(k) == v for k, v in selector.get("matchLabels", {}).items())
        rules = selector.get("matchExpressions", [])
        assert all(rule["operator"] in ("In", "NotIn") for rule in rules)
        return exact and all(
            (pod.get(rule["key"]) in rule["values"]) == (rule["operator"] == "In") for rule in rules
        )

    return {name for name, pod in labels(overlay).items() if fits(pod)}


def peers(rules: list[Object], side: str, overlay: str) -> set[str]:
    """Return whom rules let through: our pods by name, all others by what they are."""
    found = set()
    for rule in rules:
        for peer in rule.get(side, [{}]):
            if set(peer) == {"podSelector"}:
                found |= selected(peer["podSelector"], overlay)
            elif "namespaceSelector" in peer:
                [space] = peer["namespaceSelector"]["matchLabels"].values()
                found.add(f"namespace {space}")
            else:
                found.add("the internet" if "ipBlock" in peer else "outside")
    return found


def ways(overlay: str, direction: str) -> set[tuple[str, str]]:
    """Return (from, to) for everything that policies of one direction let through."""
    found = set()
    for policy in manifests.of_kind(overlay, "NetworkPolicy"):
        spec = policy["spec"]
        ours = selected(spec["podSelector"], overlay)
        for here in ours:
            if direction == "egress":
                found |= {(here, there) for there in peers(spec.get("egress", []), "to", overlay)}
            else:
                found |= {
                    (there, here) for there in peers(spec.get("ingress", []), "from", overlay)
                }
    return found


def is_drawn_elsewhere(way: tuple[str, str]) -> bool:
    return way[1] == "namespace kube-system" or way[0] == "namespace monitoring"


@every_overlay
def test_everything_is_closed_first(overlay: str):
    policies = {each["metadata"]["name"]: each["spec"] for each in manifests.of_kind(overlay, "NetworkPolicy")}  # fmt: skip
    closed = policies["deny-all"]
    assert selected(closed["podSelector"], overlay) == set(labels(overlay))
    assert sorted(closed["policyTypes"]) == ["Egress", "Ingress"]
    assert not {"ingress", "egress"} & set(closed)


@every_overlay
def test_every_arrow_may_be_received_and_no_other(overlay: str):
    received = {way for way in ways(overlay, "ingress") if not is_drawn_elsewhere(way)}
    assert received == drawn()


@every_overlay
def test_every_arrow_may_be_sent_and_no_other(overlay: str):
    sent = {way for way in ways(overlay, "egress") if not is_drawn_elsewhere(way)}
    fetching = {("models", "the internet")} if overlay == "gpu" else set()
    assert sent == {way for way in drawn() if way[0] != "outside"} | fetching


@every_overlay
def test_prometheus_reaches_whatever_shows_metrics(overlay: str):
    seen = {to for start, to in ways(overlay, "ingress") if start == "namespace monitoring"}
    assert seen == manifests.OURS


@every_overlay
def test_a_policy_names_a_port_that_its_pods_have(overlay: str):
    for policy in manifests.of_kind(overlay, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            for port in rule["ports"]:
                for name in selected(policy["spec"]["podSelector"], overlay):
                    ports = manifests.pods(overlay)[name]["containers"][0]["ports"]
                    assert port["port"] in {each["name"] for each in ports}, name


def test_the_architecture_draws_something():
    assert ("gateway", "qa") in drawn()
    assert len(drawn()) > 8
