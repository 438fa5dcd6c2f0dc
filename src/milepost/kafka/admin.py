"""Compares a cluster's topics with `schemas/topics.toml`, and makes them so where nothing can be lost by it.

Nothing here deletes a topic or a record, or adds a partition: with another partition count the same key goes to another
partition, and an engagement's events would meet two states.
"""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any, Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from milepost.codec.topics import TOPICS, Topic
from milepost.kafka import embedded
from milepost.settings import Settings

__all__ = ["Difference", "Plan", "Topics", "TopicsError"]

# A broker that is there answers at once; a controller election takes a few seconds.
ANSWER_S = 20.0
# After CreateTopics was answered, each broker learns of the topic in its own time.
VISIBLE_S = 20.0
POLL_S = 0.05
# librdkafka writes lost connections to stderr by itself; the exception says the same.
SYSLOG_CRITICAL = 2
FOREVER = -1

Action = Literal["create", "alter", "refuse"]


class TopicsError(Exception):
    """The brokers did not do or say what was asked; the message names the topic or the address."""


@dataclass(frozen=True)
class Difference:
    """One way in which the cluster is not as the file says. `refuse`: `apply` leaves it alone, `why` says what to do.

    `setting` is `partitions` or a topic setting of Kafka's; empty where the whole topic is missing.
    """

    topic: str
    setting: str
    wanted: str
    found: str
    action: Action
    why: str


@dataclass(frozen=True)
class Plan:
    """What was compared (`topics` counts them) and what differs, in the order of the file."""

    embedded: bool
    topics: int
    differences: tuple[Difference, ...]

    @property
    def refused(self) -> tuple[Difference, ...]:
        """The differences that `apply` will not touch."""
        return tuple(difference for difference in self.differences if difference.action == "refuse")

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            "embedded": self.embedded,
            "topics": self.topics,
            "differences": [asdict(difference) for difference in self.differences],
        }


class Topics:
    """The topics of one cluster under the settings' prefix. Blocks; every answer has `ANSWER_S` seconds."""

    def __init__(self, settings: Settings, wanted: Mapping[str, Topic] = TOPICS) -> None:
        self._servers, self._settings = settings.bootstrap_servers, settings
        self._wanted = {settings.topic(name): topic for name, topic in wanted.items()}
        self._client = AdminClient({"bootstrap.servers": self._servers, "log_level": SYSLOG_CRITICAL})

    def plan(self) -> Plan:
        """Compare; changes nothing. Raises `TopicsError`."""
        metadata = self._metadata()
        is_embedded = embedded.is_embedded(metadata.cluster_id)
        counts = {name: len(topic.partitions) for name, topic in metadata.topics.items() if topic.error is None}
        present = [name for name in self._wanted if name in counts]
        # The embedded broker has no settings to compare.
        configs = {} if is_embedded else self._configs(present)
        differences: list[Difference] = []
        for name, topic in self._wanted.items():
            if name not in counts:
                why = "does not exist yet"
                differences.append(Difference(name, "", f"{topic.partitions} partitions", "", "create", why))
                continue
            differences += _partition_difference(name, topic, counts[name])
            differences += _config_differences(name, topic, configs.get(name, {}))
        return Plan(is_embedded, len(self._wanted), tuple(differences))

    def apply(self) -> Plan:
        """Create and alter what `plan()` finds; return that plan. Refused differences stay. Raises `TopicsError`."""
        plan = self.plan()
        missing = [difference.topic for difference in plan.differences if difference.action == "create"]
        if plan.embedded:
            self._touch(missing)
        else:
            self._create(missing)
            self._alter([difference for difference in plan.differences if difference.action == "alter"])
        self._await_visible(missing)
        return plan

    # ------------------------------------------------------------------------------------------------------ the cluster

    def _metadata(self, topic: str | None = None) -> Any:
        try:
            return (
                self._client.list_topics(topic, timeout=ANSWER_S)
                if topic
                else self._client.list_topics(timeout=ANSWER_S)
            )
        except KafkaException as error:
            raise TopicsError(
                f"no broker answers at {self._servers}: {_text(error)}; set MILEPOST_BOOTSTRAP_SERVERS"
            ) from error

    def _configs(self, names: list[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        answers = self._client.describe_configs(resources, request_timeout=ANSWER_S)
        return {
            resource.name: {key: str(entry.value) for key, entry in _result(resource.name, answer).items()}
            for resource, answer in answers.items()
        }

    def _create(self, names: list[str]) -> None:
        if not names:
            return
        wanted = [
            NewTopic(
                name,
                num_partitions=self._wanted[name].partitions,
                replication_factor=self._settings.replication_factor,
                config=self._wanted[name].config(),
            )
            for name in names
        ]
        for name, answer in self._client.create_topics(wanted, request_timeout=ANSWER_S).items():
            _result(name, answer)

    def _alter(self, differences: list[Difference]) -> None:
        by_topic: dict[str, list[ConfigEntry]] = {}
        for difference in differences:
            entry = ConfigEntry(difference.setting, difference.wanted, incremental_operation=AlterConfigOpType.SET)
            by_topic.setdefault(difference.topic, []).append(entry)
        resources = [
            ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries) for name, entries in by_topic.items()
        ]
        if not resources:
            return
        for resource, answer in self._client.incremental_alter_configs(resources, request_timeout=ANSWER_S).items():
            _result(resource.name, answer)

    def _touch(self, names: list[str]) -> None:
        """The embedded broker creates a topic when it is asked for its metadata."""
        for name in names:
            found = len(self._metadata(name).topics[name].partitions)
            if found != self._wanted[name].partitions:
                raise TopicsError(
                    f"{name}: the embedded broker made {found} partitions, {self._wanted[name].partitions} are wanted; "
                    f"it cannot make another number than {embedded.PARTITIONS}"
                )

    def _await_visible(self, names: Iterable[str]) -> None:
        waiting, deadline = set(names), time.monotonic() + VISIBLE_S
        while True:
            topics = self._metadata().topics
            waiting = {
                name
                for name in waiting
                if name not in topics
                or len(topics[name].partitions) != self._wanted[name].partitions
                or any(one.leader < 0 for one in topics[name].partitions.values())
            }
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise TopicsError(f"created, but without a leader after {VISIBLE_S:g} s: {', '.join(sorted(waiting))}")
            time.sleep(POLL_S)


def _result(name: str, answer: "Future[Any]") -> Any:
    try:
        return answer.result(ANSWER_S)
    except (KafkaException, TimeoutError) as error:
        raise TopicsError(f"{name}: {_text(error)}") from error


def _text(error: Exception) -> str:
    """What librdkafka says, without the wrapping."""
    return str(error.args[0].str()) if isinstance(error, KafkaException) else str(error)


def _partition_difference(name: str, topic: Topic, found: int) -> list[Difference]:
    if found == topic.partitions:
        return []
    why = (
        "every topic of the join needs the same number of partitions, and a key's partition depends on it: "
        "partitions are never added to a topic in use. Make a new set of topics (MILEPOST_TOPIC_PREFIX) with the right "
        "count and publish the events there, or delete the topic if it is empty and apply again"
    )
    return [Difference(name, "partitions", str(topic.partitions), str(found), "refuse", why)]


def _config_differences(name: str, topic: Topic, found: Mapping[str, str]) -> list[Difference]:
    if not found:
        return []
    differences = []
    for setting, wanted in topic.config().items():
        value = found.get(setting, "")
        if value == wanted:
            continue
        action: Action = "alter"
        why = "differs from schemas/topics.toml"
        if setting == "retention.ms" and _shorter(wanted, value):
            action = "refuse"
            why = (
                "a shorter retention deletes records that are kept now; set it with Kafka's own tools if that is meant"
            )
        differences.append(Difference(name, setting, wanted, value, action, why))
    return differences


def _shorter(wanted: str, found: str) -> bool:
    return int(wanted) != FOREVER and (int(found) == FOREVER or int(wanted) < int(found))
