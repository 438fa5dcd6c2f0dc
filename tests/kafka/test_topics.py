"""`milepost topics plan|apply`: says what differs, makes what is safe, refuses the rest; on both kinds of broker."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from typer.testing import CliRunner, Result

from milepost import cli
from milepost.codec.topics import TOPICS
from milepost.kafka.admin import Topics, TopicsError
from milepost.settings import Settings


def milepost(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


@pytest.fixture
def prefixed(monkeypatch: pytest.MonkeyPatch, topic_prefix: str, real_kafka: str, admin: AdminClient) -> Iterator[str]:
    """The command line speaks to real Kafka, under a prefix of this test's own."""
    monkeypatch.setenv("MILEPOST_BOOTSTRAP_SERVERS", real_kafka)
    monkeypatch.setenv("MILEPOST_TOPIC_PREFIX", topic_prefix)
    yield topic_prefix
    mine = [name for name in admin.list_topics(timeout=10).topics if name.startswith(topic_prefix)]
    for deleted in admin.delete_topics(mine).values() if mine else ():
        deleted.result(20)


@pytest.fixture
def admin(real_kafka: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": real_kafka})


def await_true(reached: Callable[[], bool]) -> None:
    """A broker learns of what its controller agreed to in its own time."""
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def create(admin: AdminClient, name: str, partitions: int, config: dict[str, str]) -> None:
    admin.create_topics([NewTopic(name, partitions, config=config)])[name].result(20)
    await_true(lambda: name in admin.list_topics(timeout=10).topics)


def configs(admin: AdminClient, name: str) -> dict[str, str]:
    resource = ConfigResource(ResourceType.TOPIC, name)
    answer = admin.describe_configs([resource])[resource].result(20)
    return {key: entry.value for key, entry in answer.items()}


@pytest.mark.kafka
def test_apply_makes_what_plan_announces_and_then_nothing_differs(prefixed: str, admin: AdminClient) -> None:
    planned = milepost("topics", "plan", "--json")
    assert planned.exit_code == 1
    announced = json.loads(planned.stdout)
    assert [one["topic"] for one in announced["differences"]] == [prefixed + name for name in TOPICS]
    assert {one["action"] for one in announced["differences"]} == {"create"}
    applied = milepost("topics", "apply", "--json")
    assert (applied.exit_code, json.loads(applied.stdout)) == (0, announced)
    again = milepost("topics", "plan")
    assert (again.exit_code, again.stdout) == (
        0,
        f"{len(TOPICS)} of {len(TOPICS)} topics are as schemas/topics.toml says.\n",
    )
    metadata = admin.list_topics(timeout=10).topics
    for name, topic in TOPICS.items():
        assert len(metadata[prefixed + name].partitions) == topic.partitions
        assert topic.config().items() <= configs(admin, prefixed + name).items()


@pytest.mark.kafka
def test_a_setting_that_drifted_is_put_right(prefixed: str, admin: AdminClient) -> None:
    assert milepost("topics", "apply").exit_code == 0
    drifted = ConfigResource(
        ResourceType.TOPIC,
        prefixed + "invoice-lines",
        incremental_configs=[
            ConfigEntry("retention.ms", "60000", incremental_operation=AlterConfigOpType.SET),
            ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET),
        ],
    )
    admin.incremental_alter_configs([drifted])[drifted].result(20)
    await_true(lambda: configs(admin, prefixed + "invoice-lines")["retention.ms"] == "60000")
    applied = milepost("topics", "apply")
    assert applied.exit_code == 0, applied.output
    assert f"altered {prefixed}invoice-lines: retention.ms 60000 -> -1" in applied.stdout
    await_true(lambda: milepost("topics", "plan").exit_code == 0)
    assert TOPICS["invoice-lines"].config().items() <= configs(admin, prefixed + "invoice-lines").items()


@pytest.mark.kafka
def test_partitions_are_never_added_and_kept_records_never_deleted(prefixed: str, admin: AdminClient) -> None:
    create(admin, prefixed + "kpi-events", 3, TOPICS["kpi-events"].config())
    forever = {**TOPICS["dead-letters"].config(), "retention.ms": "-1"}
    create(admin, prefixed + "dead-letters", 4, forever)
    applied = milepost("topics", "apply", "--json")
    assert applied.exit_code == 1, applied.output
    assert applied.stdout, applied.output
    refused = [one for one in json.loads(applied.stdout)["differences"] if one["action"] == "refuse"]
    assert [(one["topic"], one["setting"], one["found"], one["wanted"]) for one in refused] == [
        (prefixed + "kpi-events", "partitions", "3", "4"),
        (prefixed + "dead-letters", "retention.ms", "-1", str(TOPICS["dead-letters"].retention_ms)),
    ]
    assert "MILEPOST_TOPIC_PREFIX" in refused[0]["why"]
    assert configs(admin, prefixed + "dead-letters")["retention.ms"] == "-1"
    assert len(admin.list_topics(timeout=10).topics[prefixed + "kpi-events"].partitions) == 3
    assert f"refuse {prefixed}kpi-events: partitions 3 -> 4: every topic" in milepost("topics", "plan").stdout


@pytest.mark.kafka
def test_a_replication_factor_beyond_the_brokers_is_their_error(real_kafka: str, topic_prefix: str) -> None:
    settings = Settings(bootstrap_servers=real_kafka, topic_prefix=topic_prefix, replication_factor=3)
    with pytest.raises(TopicsError, match=f"{topic_prefix}.*replication"):
        Topics(settings).apply()


def test_the_embedded_broker_is_touched(embedded_broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_BOOTSTRAP_SERVERS", embedded_broker)
    planned = milepost("topics", "plan", "--json")
    assert planned.exit_code == 1
    assert json.loads(planned.stdout)["embedded"] is True
    assert milepost("topics", "apply").exit_code == 0
    assert milepost("topics", "plan").exit_code == 0
    found = AdminClient({"bootstrap.servers": embedded_broker}).list_topics(timeout=10).topics
    assert {name: len(topic.partitions) for name, topic in found.items()} == dict.fromkeys(TOPICS, 4)


def test_the_embedded_broker_cannot_make_another_number_of_partitions(embedded_broker: str) -> None:
    wanted = {"kpi-events": replace(TOPICS["kpi-events"], partitions=12)}
    with pytest.raises(TopicsError, match="kpi-events: the embedded broker made 4 partitions, 12 are wanted"):
        Topics(Settings(bootstrap_servers=embedded_broker), wanted).apply()


def test_no_broker_and_wrong_settings_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milepost.kafka.admin.ANSWER_S", 0.5)
    absent = milepost("topics", "plan", "--bootstrap-servers", "127.0.0.1:1")
    assert absent.exit_code == 1
    assert "no broker answers at 127.0.0.1:1" in absent.stderr
    wrong = milepost("topics", "apply", "--bootstrap-servers", "nowhere")
    assert wrong.exit_code == 2
    assert "'nowhere' is not HOST:PORT" in wrong.stderr
