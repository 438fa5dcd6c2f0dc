"""docker-compose.yml, judged without a Docker daemon: what is known to go wrong quietly with such files."""

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psycopg
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from milepost import settings
from milepost.cli import app
from milepost.sql.engine import connect
from milepost.sql.migrations import check_schema, migrate
from tests.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
# Of the Compose specification, what is used here; a key outside of it is a slip or wants a check of its own.
TOP_KEYS = {"name", "services", "volumes", "secrets"}
SERVICE_KEYS = {
    "image", "hostname", "ports", "environment", "volumes", "healthcheck", "stop_grace_period", "restart",
    "security_opt", "depends_on", "profiles", "command", "entrypoint", "build", "user", "read_only", "tmpfs",
    "cap_drop", "secrets",
}  # fmt: skip
PROCESSES = {"join", "ledger", "clock", "gateway", "notices", "anchors"}
ONCE = {"setup"}
Services = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return {key: value for key, value in loaded.items() if not key.startswith("x-")}


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> Services:
    assert {"kafka", "postgres", "registry", "prometheus", "alertmanager", "grafana"} <= set(compose["services"])
    assert set(compose["services"]) >= PROCESSES | ONCE
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
    assert len(published) >= 6
    assert [port for port in published if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)] == []
    assert len({port.split(":")[1] for port in published}) == len(published)


def test_health_is_probed_by_one_string(services: Services) -> None:
    """With ["CMD-SHELL", "A", "B"] the shell runs A alone, so that the service always looks healthy."""
    probed = {name: service for name, service in services.items() if service["healthcheck"] != {"disable": True}}
    assert set(services) - set(probed) == {"setup"}
    for name, service in probed.items():
        kind, *words = service["healthcheck"]["test"]
        assert kind == "CMD-SHELL", name
        assert len(words) == 1, name
        assert re.fullmatch(r"\d+s", service["healthcheck"]["interval"])


def test_whoever_is_waited_for_has_a_health_check(services: Services) -> None:
    for own, service in services.items():
        for name, condition in service.get("depends_on", {}).items():
            awaited = services[name]
            if condition["condition"] == "service_completed_successfully":
                assert name in ONCE
            else:
                assert condition == {"condition": "service_healthy"}
                assert "test" in awaited["healthcheck"]
        assert service["restart"] == ("no" if own in ONCE else "unless-stopped")


def test_data_outlives_its_container(compose: dict[str, Any], services: Services) -> None:
    mounts = {
        name: dict(reversed(mount.split(":")[:2]) for mount in s.get("volumes", ())) for name, s in services.items()
    }
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


def test_processes_may_do_what_they_need_and_nothing_else(services: Services) -> None:
    for name in PROCESSES | ONCE:
        service = services[name]
        assert service["user"] == "10001:10001"
        assert service["image"] == f"milepost:{version('milepost')}"
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    writing = {name for name, service in services.items() if service.get("read_only") is not True}
    assert writing == {"kafka", "registry"}, "the file says why"


def test_only_who_needs_a_secret_has_it(services: Services) -> None:
    has = {name: set(service.get("secrets", ())) for name, service in services.items()}
    assert {name for name, secrets in has.items() if "milepost_database_url" in secrets} == {
        "setup", "ledger", "gateway", "notices", "anchors",
    }  # fmt: skip
    assert {name for name, secrets in has.items() if "postgres_password" in secrets} == {"postgres"}
    for name in PROCESSES | ONCE:
        # A folder that nothing is mounted at is not there, and the settings would refuse it.
        assert ("MILEPOST_SECRETS_DIR" in services[name]["environment"]) == bool(has[name]), name


@pytest.mark.postgres
def test_the_processes_role_owns_its_database_and_is_no_superuser(
    services: Services, postgresql_server: PostgresServer, tmp_path: Path
) -> None:
    made = services["postgres"]["environment"]
    assert made["POSTGRES_USER"] != made["DATABASE_OWNER"]
    assert "./ops/postgres:/docker-entrypoint-initdb.d:ro" in services["postgres"]["volumes"]
    (tmp_path / "password").write_text('it\'s "quoted"')
    owned = postgresql_server.create_database()
    database, owner = owned.partition("@/")[2].partition("?")[0], "owner-" + tmp_path.name
    environment = {
        **os.environ,
        "PGHOST": str(postgresql_server.folder),
        "POSTGRES_USER": "milepost",
        "POSTGRES_DB": database,
        "DATABASE_OWNER": owner,
        "DATABASE_PASSWORD_FILE": str(tmp_path / "password"),
    }
    subprocess.run([ROOT / "ops/postgres/owner.sh"], env=environment, check=True, timeout=60)
    engine = connect(owned.replace("postgresql://milepost@", f"postgresql://{owner}@"))
    migrate(engine)
    check_schema(engine)
    engine.dispose()
    with psycopg.connect(postgresql_server.url(database)) as administrator:
        asked = "SELECT rolsuper, rolcreaterole, rolcreatedb, rolpassword IS NOT NULL FROM pg_authid WHERE rolname = %s"
        assert administrator.execute(asked, [owner]).fetchone() == (False, False, False, True)
    with (
        psycopg.connect(postgresql_server.url(database).replace("//milepost@", f"//{owner}@")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("COPY (SELECT 1) TO PROGRAM 'cat'")


def test_the_environment_is_that_of_the_settings(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROCESSES | ONCE:
        environment = services[name]["environment"]
        assert all(isinstance(value, str) for value in environment.values()), name
        assert settings.unknown_variables(environment) == {}, name
        for variable, value in environment.items():
            if variable != "MILEPOST_SECRETS_DIR":
                monkeypatch.setenv(variable, value)
        assert settings.load().bootstrap_servers == "kafka:19092"


def test_a_misspelt_variable_would_be_seen() -> None:
    assert settings.unknown_variables({"MILEPOST_GATEWAY_HOSTS": "x"}) == {
        "MILEPOST_GATEWAY_HOSTS": "MILEPOST_GATEWAY_HOST"
    }


def test_secrets_are_files_that_the_script_makes_and_no_process_gets_others(
    compose: dict[str, Any], services: Services, tmp_path: Path
) -> None:
    (tmp_path / "secrets.sh").write_text((ROOT / "ops/secrets.sh").read_text())
    for _ in range(2):  # the second run keeps what is there
        made = subprocess.run(["bash", tmp_path / "secrets.sh"], capture_output=True, text=True, check=True)
        texts = {path.name: path.read_text() for path in Path(made.stdout.strip()).iterdir()}
    assert {name: entry["file"] for name, entry in compose["secrets"].items()} == {
        name: f"./ops/secrets/{name}" for name in texts
    }
    assert texts["database_password"] in texts["milepost_database_url"]
    assert texts["postgres_password"] not in texts["milepost_database_url"]
    assert "PRIVATE KEY" in texts["anchor_key"]
    used = {secret for service in services.values() for secret in service.get("secrets", ())}
    assert used == set(compose["secrets"])
    known = {f"milepost_{name}" for name in settings.Settings.model_fields}
    assert {name for name in used if name.startswith("milepost_")} <= known
    everything = (ROOT / "docker-compose.yml").read_text()
    assert "PASSWORD:" not in everything.replace("PASSWORD__FILE:", "")


def test_what_is_scraped_is_what_runs(services: Services) -> None:
    config = YAML(typ="safe", pure=True).load((ROOT / "ops/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    targets = {one["targets"][0] for one in config["scrape_configs"][0]["static_configs"]}
    port = services["join"]["environment"]["MILEPOST_METRICS_PORT"]
    assert targets == {f"{name}:{port}" for name in PROCESSES}
    [alertmanager] = config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert alertmanager.partition(":")[0] in services


def test_commands_are_those_of_the_program(services: Services) -> None:
    for name in PROCESSES:
        help_text = CliRunner().invoke(app, [*services[name]["command"], "--help"])
        assert help_text.exit_code == 0, name
    [line] = services["setup"]["command"]
    commands = [shlex.split(part) for part in line.split("&&")]
    assert [words[:2] for words in commands] == [
        ["milepost", "topics"],
        ["milepost", "schemas"],
        ["milepost", "migrate"],
    ]
    for _, *words in commands:
        assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0


def test_the_image_holds_what_the_wheel_is_made_of_and_runs_as_nobody() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    names = {name for some in copied for name in some}
    assert all((ROOT / name).exists() for name in names)
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert names == kept
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    bases = {line.split()[1] for line in lines if line.startswith("FROM ")}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", bases.pop())
    assert "--require-hashes" in "".join(lines)


@pytest.mark.slow
def test_the_files_fit_the_compose_specification(tmp_path: Path) -> None:
    """The published schema is in a tool whose dependencies contradict ours, so it gets an environment of its own."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "tool"], check=True)
    pip = [tmp_path / "tool/bin/pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "check-jsonschema==0.39.0"], check=True, timeout=170)
    tool = [tmp_path / "tool/bin/check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    found = subprocess.run([*tool, ROOT / "docker-compose.yml"], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    (tmp_path / "wrong.yml").write_text("services: {a: {imgae: x}}\n")
    assert subprocess.run([*tool, tmp_path / "wrong.yml"], capture_output=True).returncode == 1
