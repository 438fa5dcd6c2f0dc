"""The topics, as `schemas/topics.toml` lists them. Names are those of events.md; a prefix is the Kafka adapter's."""

import tomllib
from dataclasses import dataclass, field

from milepost.codec.registry import RegistryError, schemas_dir

__all__ = [
    "DEAD_LETTER_TOPIC",
    "HISTORY_TOPIC",
    "INPUTS",
    "OUTPUTS",
    "PARTITIONS",
    "PLACES",
    "STATE_TOPIC",
    "TOPICS",
    "TOPIC_OF_RECORD",
    "Topic",
]

STATE_TOPIC = "engagement-state"
DEAD_LETTER_TOPIC = "dead-letters"
HISTORY_TOPIC = "join-transactions"


@dataclass(frozen=True)
class Topic:
    """One topic. `record` is empty where values have no schema; `retention_ms` -1 keeps records for ever."""

    name: str
    record: str
    direction: str  # in | out | state | internal
    key: str
    partitions: int
    cleanup_policy: str
    retention_ms: int
    timestamp_type: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    why: str
    place: int = field(compare=False, default=0)

    def config(self) -> dict[str, str]:
        """The topic's settings by Kafka's names."""
        return {
            "cleanup.policy": self.cleanup_policy,
            "retention.ms": str(self.retention_ms),
            "message.timestamp.type": self.timestamp_type,
        }


def _read() -> dict[str, Topic]:
    path = schemas_dir() / "topics.toml"
    found: dict[str, Topic] = {}
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["topic"]
        for place, row in enumerate(rows):
            lists = {name: tuple(row[name]) for name in ("producers", "consumers")}
            found[row["name"]] = Topic(**{**row, **lists}, place=place)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RegistryError(f"cannot read {path}: {error}") from error
    return found


TOPICS: dict[str, Topic] = _read()
"""Every topic by name, in the order of the file."""

INPUTS: tuple[str, ...] = tuple(name for name, topic in TOPICS.items() if "join" in topic.consumers and topic.record)
"""The eight topics that the join reads, in their place order."""

PLACES: dict[str, int] = {name: place for place, name in enumerate(INPUTS)}
"""Place of each of those: records of one batch and one timestamp are folded in this order."""

OUTPUTS: tuple[str, ...] = tuple(name for name, topic in TOPICS.items() if topic.direction == "out")
"""The topics that the join writes for others, dead letters included."""

TOPIC_OF_RECORD: dict[str, str] = {topic.record: name for name, topic in TOPICS.items() if topic.record}
"""Topic of each record's name."""

PARTITIONS: int = TOPICS[STATE_TOPIC].partitions
"""Partitions of every topic: inputs, outputs and state of one number move together."""
