"""The topics as an AsyncAPI 3 document, made of `topics.toml` and the schemas, for tools that read such.

Operations are the program's own: it receives what comes in and sends what it states.
"""

from typing import Any

from milepost.codec.registry import installed
from milepost.codec.topics import TOPICS, Topic

__all__ = ["ANCHOR_FIELDS", "DEAD_LETTER_HEADERS", "document"]

_AVRO = "application/vnd.apache.avro;version=1.9.0"
_BINDING = "0.5.0"


def _text(description: str, pattern: str | None = None) -> dict[str, Any]:
    found = {"type": "string", "description": description}
    return found if pattern is None else {**found, "pattern": pattern}


_SHA256, _NUMBER = "^[0-9a-f]{64}$", "^[0-9]+$"

DEAD_LETTER_HEADERS: dict[str, Any] = {
    "milepost-error-code": _text("Why: a reason of events.md, or FOLD_FAILED."),
    "__connect.errors.exception.message": _text("The same in words, on one line, at most 2 KiB."),
    "__connect.errors.exception.class.name": _text("milepost. and the reason, for tools that read Kafka Connect's."),
    "__connect.errors.stage": _text("Kafka Connect's name of the stage that failed."),
    "__connect.errors.topic": _text("Topic that the record came from."),
    "__connect.errors.partition": _text("Its partition.", _NUMBER),
    "__connect.errors.offset": _text("Its offset.", _NUMBER),
    "x-original-topic": _text("Topic that the record came from."),
    "milepost-dead-letter-id": _text(
        "SHA-256 of topic/partition/offset; `milepost dead-letters` names it so.", _SHA256
    ),
    "milepost-first-seen": _text("When it became a dead letter for the first time."),
    "milepost-attempts": _text("How often it has become one.", _NUMBER),
    "milepost-replay-of": _text("Id of the dead letter that this record was sent again from; else absent."),
    "milepost-value-sha256": _text("Of the value, where it was too large and is left out; else absent.", _SHA256),
    "milepost-value-size-bytes": _text("Its size.", _NUMBER),
    "milepost-headers-sha256": _text("Of the record's own headers, where they are left out; else absent.", _SHA256),
    "milepost-headers-size-bytes": _text("Their size.", _NUMBER),
    "milepost-key-sha256": _text("Of the key, where it is left out; else absent.", _SHA256),
    "milepost-key-size-bytes": _text("Its size.", _NUMBER),
}
"""What the join adds to a dead letter; after the record's own headers, so the last of a name counts."""

ANCHOR_FIELDS: dict[str, Any] = {
    "number": {"type": "integer", "minimum": 1, "description": "From 1 without gaps."},
    "signed_at": {"type": "string", "format": "date-time", "description": "When it was signed."},
    "public_key": _text("Of the ed25519 key that signed it, in hex.", _SHA256),
    "root": _text("Of the Merkle tree over `heads`, SHA-256 in hex.", _SHA256),
    "previous": _text("SHA-256 of the anchor before, canonical JSON; 64 zeros for the first.", _SHA256),
    "schemas": {
        "type": "object",
        "description": "By id the SHA-256 of each Avro schema as canonical JSON, in hex.",
        "additionalProperties": {"type": "string", "pattern": _SHA256},
    },
    "signature": _text("Over the canonical JSON of `anchor` without this field, in hex.", "^[0-9a-f]{128}$"),
}
"""What is signed, and the signature."""

_HEAD = {
    "type": "array",
    "items": [
        {"type": "string"},
        {"type": "integer"},
        {"type": "string", "pattern": _SHA256},
        {
            "type": "object",
            "description": "The anchor of the head before; digests of what was sent, billed, withheld and asked.",
        },
    ],
    "description": "An engagement, the sequence of its newest audit entry, that entry's hash, and what its contents "
    "were; the last is absent in anchors of before, and of what operators did.",
}
# Of the topics without a schema those that others read.
_OTHERS: dict[str, dict[str, Any]] = {
    "dead-letters": {
        "name": "DeadLetter",
        "title": "DeadLetter",
        "summary": "A record that could not become an event: its own key, value and headers, and headers that say why.",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "properties": DEAD_LETTER_HEADERS},
        "payload": {"type": "string", "format": "binary", "description": "The bytes that came, whatever they are."},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": "The key that came."}, "bindingVersion": _BINDING}
        },
    },
    "audit-anchors": {
        "name": "AuditAnchor",
        "title": "AuditAnchor",
        "summary": "Signed heads of the audit trails that moved since the anchor before.",
        "contentType": "application/json",
        "payload": {
            "type": "object",
            "properties": {
                "anchor": {"type": "object", "properties": ANCHOR_FIELDS, "required": list(ANCHOR_FIELDS)},
                "heads": {"type": "array", "items": _HEAD, "minItems": 1},
            },
            "required": ["anchor", "heads"],
        },
    },
}


def document(version: str) -> dict[str, Any]:
    """The whole document for a release."""
    carrying = {name: topic for name, topic in TOPICS.items() if topic.record or name in _OTHERS}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Milepost",
            "version": version,
            "description": "Events that come in and facts that are stated. Every record is keyed by its engagement; "
            "values are Avro in the Confluent wire format, but for dead letters and anchors. Read outputs with "
            "isolation level read_committed.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/avro",
        "servers": {
            "kafka": {
                "host": "localhost:9092",
                "protocol": "kafka-secure",
                "description": "Your brokers.",
                "bindings": {"kafka": {"schemaRegistryVendor": "confluent", "bindingVersion": _BINDING}},
            }
        },
        "channels": {name: _channel(topic) for name, topic in carrying.items()},
        "operations": {_operation(topic): _operated(topic) for topic in carrying.values()},
        "components": {"messages": {_name(topic): _message(topic) for topic in carrying.values()}},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": topic.why,
        "messages": {_name(topic): {"$ref": f"#/components/messages/{_name(topic)}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": [topic.cleanup_policy],
                    "retention.ms": topic.retention_ms,
                },
                "bindingVersion": _BINDING,
            }
        },
    }


def _operation(topic: Topic) -> str:
    return f"{'receive' if topic.direction == 'in' else 'send'}{_name(topic)}"


def _operated(topic: Topic) -> dict[str, Any]:
    reference = f"#/channels/{topic.name}"
    return {
        "action": "receive" if topic.direction == "in" else "send",
        "channel": {"$ref": reference},
        "summary": topic.why.partition(". ")[0].rstrip(".") + ".",
        "messages": [{"$ref": f"{reference}/messages/{_name(topic)}"}],
    }


def _name(topic: Topic) -> str:
    return topic.record or _OTHERS[topic.name]["name"]


def _message(topic: Topic) -> dict[str, Any]:
    if not topic.record:
        return _OTHERS[topic.name]
    schema = installed().current(topic.record)
    return {
        "name": topic.record,
        "title": topic.record,
        "summary": str(schema.definition["doc"]).partition(". ")[0].rstrip(".") + ".",
        "contentType": "application/avro",
        "headers": {
            "type": "object",
            "properties": {
                "ce_id": {"type": "string", "description": "CloudEvents: the event's id."},
                "ce_source": {"type": "string", "description": "CloudEvents: who says it."},
                "ce_type": {"type": "string", "description": "CloudEvents: what it is."},
                "ce_time": {"type": "string", "format": "date-time", "description": "CloudEvents: when it happened."},
                "traceparent": {"type": "string", "description": "W3C Trace Context."},
            },
        },
        "payload": {"schemaFormat": _AVRO, "schema": schema.definition},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": topic.key},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "bindingVersion": _BINDING,
            }
        },
    }
