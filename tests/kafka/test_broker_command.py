"""`milepost broker` prints where it listens, and ends with Ctrl-C or a kill."""

import json
import signal
import subprocess
import sys

import pytest
from confluent_kafka.admin import AdminClient

COMMAND = [sys.executable, "-c", "from milepost.cli import main; main()", "broker"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_broker_runs_until_it_is_told_to_end(ending: signal.Signals) -> None:
    with subprocess.Popen([*COMMAND, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["bootstrap_servers"]
        assert len(AdminClient({"bootstrap.servers": address}).list_topics(timeout=10).brokers) == 1
        process.send_signal(ending)
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_broker_prints_a_line_for_the_shell() -> None:
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line, note = process.stdout.readline(), process.stderr.readline()
        process.terminate()
        process.communicate(timeout=10)
    assert line.startswith("export MILEPOST_BOOTSTRAP_SERVERS=127.0.0.1:")
    assert "Ctrl-C ends it" in note
