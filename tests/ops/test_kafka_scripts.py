"""ops/kafka/kafka.sh: what it prints, what it leaves behind, and how it says no."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tests.brokers import KAFKA_SH, free_ports

pytestmark = pytest.mark.kafka


def kafka_sh(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(argument) for argument in (KAFKA_SH, *arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for the data; whatever runs in it is stopped."""
    yield tmp_path
    kafka_sh("stop", "--dir", tmp_path, "--now")


def runs(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def ended(process: int, within_s: float = 20) -> bool:
    deadline = time.monotonic() + within_s
    while runs(process) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not runs(process)


def test_data_survive_a_stop_and_a_start(folder: Path) -> None:
    port = free_ports(3)
    started = kafka_sh("start", "--dir", folder, "--port", str(port))
    assert (started.returncode, started.stdout) == (0, f"127.0.0.1:{port}\n")
    admin = AdminClient({"bootstrap.servers": started.stdout.strip()})
    admin.create_topics([NewTopic("kept", 3)])["kept"].result(20)
    again = kafka_sh("start", "--dir", folder, "--port", str(port))
    assert again.returncode == 1
    assert "node 1 already runs" in again.stderr
    process = int((folder / "node-1" / "pid").read_text())
    assert kafka_sh("stop", "--dir", folder).returncode == 0
    assert not runs(process)
    restarted = kafka_sh("start", "--dir", folder, "--port", str(port))
    assert restarted.returncode == 0, restarted.stderr
    assert (
        len(
            AdminClient({"bootstrap.servers": restarted.stdout.strip()})
            .list_topics(timeout=10)
            .topics["kept"]
            .partitions
        )
        == 3
    )


@pytest.mark.parametrize("delay_s", [0, 1])
def test_it_ends_when_the_watched_process_and_its_group_are_ended(folder: Path, delay_s: int) -> None:
    setsid = shutil.which("setsid")
    slow = folder / "bin" / "setsid"  # the signal must not find the watcher on its way into its own session
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\nsleep {delay_s}\nexec {setsid} "$@"\n')
    slow.chmod(0o755)
    env = os.environ | {"PATH": f"{slow.parent}:{os.environ['PATH']}"}
    start = f"{KAFKA_SH} start --dir {folder} --port {free_ports(3)} --while $$ && sleep 600"
    with subprocess.Popen(["sh", "-c", start], stdout=subprocess.PIPE, start_new_session=True, env=env) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline().startswith(b"127.0.0.1:")
        process = int((folder / "node-1" / "pid").read_text())
        assert runs(process)
        os.killpg(caller.pid, signal.SIGTERM)
    assert ended(process)


def test_in_the_foreground_it_stays_until_ctrl_c(folder: Path) -> None:
    command = [str(KAFKA_SH), "start", "--dir", str(folder), "--port", str(free_ports(3)), "--foreground"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as script:
        assert script.stdout is not None
        assert script.stdout.readline().startswith("127.0.0.1:")
        process = int((folder / "node-1" / "pid").read_text())
        script.send_signal(signal.SIGINT)
        script.communicate(timeout=60)
    assert script.returncode == 0
    assert not runs(process)


def test_a_failed_start_leaves_nothing_behind_and_says_why(folder: Path) -> None:
    failed = kafka_sh("start", "--dir", folder, "--port", str(free_ports(3)), "--set", "num.partitions=none")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "num.partitions" in failed.stderr
    assert not list(folder.glob("node-*/pid"))


def test_a_taken_port_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = kafka_sh("start", "--dir", folder, "--port", str(port))
    assert refused.returncode == 1
    assert f"port {port} is taken; choose another with --port" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "kafka.sh start"),
        (["begin"], "kafka.sh start"),
        (["start", "--nodes", "2"], "--nodes is 2; 1 or 3 are possible"),
        (["start", "--port"], "--port needs a value"),
        (["start", "--port", "http"], "need a number"),
        (["start", "--partitions", "4"], "unknown option --partitions"),
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], message: str) -> None:
    refused = kafka_sh(*arguments)
    assert refused.returncode == 2
    assert message in refused.stderr


def test_an_old_or_missing_java_is_named(tmp_path: Path) -> None:
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(0o755)
    refused = kafka_sh("libs", env={**os.environ, "JAVA_HOME": str(tmp_path)})
    assert refused.returncode == 2
    assert "needs Java 17 or later" in refused.stderr
    missing = kafka_sh("libs", env={**os.environ, "JAVA_HOME": str(tmp_path / "none")})
    assert missing.returncode == 2
    assert "apt-get install openjdk-17-jre-headless" in missing.stderr


def test_kafkas_own_tools_run(real_kafka: str) -> None:
    listed = kafka_sh("tool", "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", real_kafka, "--list")
    assert listed.returncode == 0, listed.stderr
