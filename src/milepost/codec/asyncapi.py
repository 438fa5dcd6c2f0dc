"""The topics as an AsyncAPI 3 document, made of `topics.toml` and the schemas, for tools that read such.

Operations are the program's own: it receives what comes in and sends what it states.
"""

from typing import Any

from milepost.codec.registry import installed
from milepost.codec.topics import TOPICS, Topic

__all__ = ["document"]

_AVRO = "application/vnd.apache.avro;version=1.9.0"
_BINDING = "0.5.0"


def document(version: str) -> dict[str, Any]:
    """The whole document for a release."""
    carrying = {name: topic for name, topic in TOPICS.items() if topic.record}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Milepost",
            "version": version,
            "description": "Events that come in and facts that are stated. Every record is keyed by its engagement; "
            "values are Avro in the Confluent wire format. Read outputs with isolation level read_committed.",
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
        "components": {"messages": {topic.record: _message(topic) for topic in carrying.values()}},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": topic.why,
        "messages": {topic.record: {"$ref": f"#/components/messages/{topic.record}"}},
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
    return f"{'receive' if topic.direction == 'in' else 'send'}{topic.record}"


def _operated(topic: Topic) -> dict[str, Any]:
    reference = f"#/channels/{topic.name}"
    return {
        "action": "receive" if topic.direction == "in" else "send",
        "channel": {"$ref": reference},
        "summary": topic.why.partition(". ")[0].rstrip(".") + ".",
        "messages": [{"$ref": f"{reference}/messages/{topic.record}"}],
    }


def _message(topic: Topic) -> dict[str, Any]:
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
