"""docker-compose.yml, judged without a Docker daemon: what is known to go wrong quietly with such files."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
# Of the Compose specification, what is used here; a key outside of it is a slip or wants a check of its own.
TOP_KEYS = {"name", "services", "volumes"}
SERVICE_KEYS = {
    "image", "hostname", "ports", "environment", "volumes", "healthcheck", "stop_grace_period", "restart",
    "security_opt", "depends_on", "profiles", "command",
}  # fmt: skip
Services = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return {key: value for key, value in loaded.items() if not key.startswith("x-")}


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> Services:
    assert {"kafka", "postgres"} <= set(compose["services"])
    return dict(compose["services"])


def test_keys_are_of_the_specification(compose: dict[str, Any], services: Services) -> None:
    assert set(compose) <= TOP_KEYS  # `version:` is obsolete and only warns
    assert [(name, key) for name, service in services.items() for key in service if key not in SERVICE_KEYS] == []


def test_images_are_pinned(services: Services) -> None:
    for service in services.values():
        assert re.fullmatch(r"[a-z0-9./-]+:v?\d+(\.\d+)+", service["image"])


def test_kafka_is_the_release_that_the_tests_use(services: Services) -> None:
    pom = ElementTree.parse(ROOT / "ops/kafka/pom.xml")  # noqa: S314 - our own file
    names = {"m": "http://maven.apache.org/POM/4.0.0"}
    properties = {node.tag.split("}")[1]: node.text for node in pom.iterfind("m:properties/*", names)}
    artifacts = pom.iterfind("m:dependencies/m:dependency", names)
    versions = {
        node.findtext("m:artifactId", namespaces=names): node.findtext("m:version", "", names) for node in artifacts
    }
    version = re.sub(r"\$\{(.+)\}", lambda found: properties[found[1]] or "", versions["kafka_2.13"])
    assert services["kafka"]["image"] == f"apache/kafka:{version}"


def test_ports_are_for_this_machine_only(services: Services) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert len(published) >= 2
    assert [port for port in published if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)] == []
    assert len({port.split(":")[1] for port in published}) == len(published)


def test_health_is_probed_by_one_string(services: Services) -> None:
    """With ["CMD-SHELL", "A", "B"] the shell runs A alone, so that the service always looks healthy."""
    for name, service in services.items():
        kind, *words = service["healthcheck"]["test"]
        assert kind == "CMD-SHELL", name
        assert len(words) == 1, name
        assert re.fullmatch(r"\d+s", service["healthcheck"]["interval"])


def test_whoever_is_waited_for_has_a_health_check(services: Services) -> None:
    for service in services.values():
        for name, condition in service.get("depends_on", {}).items():
            assert condition["condition"] != "service_healthy" or "healthcheck" in services[name]
        assert service["restart"] == "unless-stopped"


def test_data_outlives_its_container(compose: dict[str, Any], services: Services) -> None:
    mounts = {name: dict(reversed(mount.split(":")[:2]) for mount in s["volumes"]) for name, s in services.items()}
    assert services["kafka"]["environment"]["KAFKA_LOG_DIRS"] in mounts["kafka"]
    assert int(services["postgres"]["image"].split(":")[1].split(".")[0]) >= 18
    assert "/var/lib/postgresql" in mounts["postgres"]  # of 17 and before it was /var/lib/postgresql/data
    for sources in mounts.values():
        for source in sources.values():
            assert (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"]


def test_every_listener_of_kafka_is_described(services: Services) -> None:
    settings = services["kafka"]["environment"]
    listeners = dict(listener.split("://") for listener in settings["KAFKA_LISTENERS"].split(","))
    advertised = dict(listener.split("://") for listener in settings["KAFKA_ADVERTISED_LISTENERS"].split(","))
    protocols = dict(pair.split(":") for pair in settings["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert set(listeners) == set(protocols)
    assert set(advertised) == set(listeners) - {settings["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert all(advertised[name].rpartition(":")[2] == listeners[name].removeprefix(":") for name in advertised)
    assert settings["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"1@kafka{listeners['CONTROLLER']}"
    probe = services["kafka"]["healthcheck"]["test"][1]
    assert f"localhost{listeners[settings['KAFKA_INTER_BROKER_LISTENER_NAME']]}" in probe
    assert all(isinstance(value, str) for value in settings.values()), "YAML would hand on true, 1 and the like as such"


def test_one_node_asks_for_one_replica(services: Services) -> None:
    settings = services["kafka"]["environment"]
    replicas = {name: value for name, value in settings.items() if name.endswith(("REPLICATION_FACTOR", "MIN_ISR"))}
    assert len(replicas) == 6
    assert set(replicas.values()) == {"1"}
