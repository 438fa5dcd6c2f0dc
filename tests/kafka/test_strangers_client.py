"""Programs that know nothing of milepost read `invoice-lines` from real Kafka, with what any Kafka shop has at hand.

The one is confluent-kafka's consumer with its Avro deserializer, which asks a schema registry; a stub of the registry's
HTTP API serves `schemas/`. The other is kcat.
"""

import json
import subprocess
import threading
import tomllib
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from typer.testing import CliRunner

from milepost import cli
from tests.brokers import REPOSITORY
from tests.chaos.fleet import Fleet, fleet

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SCHEMAS = REPOSITORY / "schemas"
EXAMPLES = ("consulting", "construction")
# By hand, from the contract: fees of 50,000, 100,000 (60 % and 40 %) and 40,000; ten per cent of each is withheld, and
# paid out at the end. In minor units: milestone, gross, retained, payable.
CONSULTING = [
    ("assessment", 5_000_000, 500_000, 4_500_000),
    ("build", 6_000_000, 600_000, 5_400_000),
    ("build", 4_000_000, 400_000, 3_600_000),
    ("go-live", 4_000_000, 400_000, 3_600_000),
    (None, 0, -1_900_000, 1_900_000),
]


class StubRegistry(BaseHTTPRequestHandler):
    """`GET /schemas/ids/{id}` of Confluent's registry, from ids.toml and released/."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        file = tomllib.loads((SCHEMAS / "ids.toml").read_text())["ids"].get(path.removeprefix("/schemas/ids/"))
        body = json.dumps({"schema": (SCHEMAS / "released" / file).read_text()} if file else {"error_code": 40403})
        self.send_response(200 if file else 404)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


@pytest.fixture
def registry() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), StubRegistry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def billed(real_kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The examples, published and joined as a user would."""
    prefix = f"t{uuid.uuid4().hex[:10]}-"
    environment = {"MILEPOST_BOOTSTRAP_SERVERS": real_kafka, "MILEPOST_TOPIC_PREFIX": prefix}
    with fleet(real_kafka, prefix, tmp_path_factory.mktemp("billed")) as workers:
        for example in EXAMPLES:
            files = [str(REPOSITORY / "examples" / example / name) for name in ("contract.yaml", "events.jsonl")]
            published = CliRunner(env=environment).invoke(cli.app, ["publish", *files])
            assert published.exit_code == 0, published.output
        workers.start()
        workers.await_drained(120)
        workers.end()
        yield workers


@pytest.fixture
def lines(billed: Fleet, registry: str) -> list[tuple[str, dict[str, Any]]]:
    """Key and value of each invoice line, as the stranger sees them."""
    with SchemaRegistryClient({"url": registry}) as client:
        return consume(billed.direct, f"{billed.prefix}invoice-lines", AvroDeserializer(client))


def consume(servers: str, topic: str, deserialize: AvroDeserializer) -> list[tuple[str, dict[str, Any]]]:
    """Key and deserialized value of every committed record."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"{topic}-erp",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.subscribe([topic])
    found, ended = list[tuple[str, dict[str, Any]]](), set[int | None]()
    try:
        while len(ended) < 4:
            message = consumer.poll(30)
            assert message is not None, "no answer for 30 s"
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add(message.partition())
                continue
            key, value = message.key(), message.value()
            assert key is not None
            found.append((key.decode(), deserialize(value, SerializationContext(topic, MessageField.VALUE))))
    finally:
        consumer.close()
    return found


def test_confluents_consumer_reads_the_expected_amounts(lines: list[tuple[str, dict[str, Any]]]) -> None:
    assert {key for key, _ in lines} == {"erp-rollout", "warehouse-7"}
    assert {key == value["engagement_id"] for key, value in lines} == {True}
    mine = [value for key, value in lines if key == "erp-rollout"]
    names = ("milestone_id", "gross_minor", "retained_minor", "payable_minor")
    assert [tuple(value[name] for name in names) for value in mine] == CONSULTING
    assert (mine[0]["currency"], mine[0]["currency_exponent"]) == ("EUR", 2)
    assert mine[0]["service_from"] == date(2026, 2, 26)
    assert mine[0]["accepted_at"] == datetime(2026, 2, 27, 13, 5, tzinfo=UTC)
    assert len({value["line_id"] for _, value in lines}) == len(lines)


@pytest.mark.kcat
def test_kcat_sees_as_many_records_under_the_engagements_ids(
    billed: Fleet, lines: list[tuple[str, dict[str, Any]]]
) -> None:
    topic = f"{billed.prefix}invoice-lines"
    command = ["kcat", "-b", billed.direct, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%k\n"]
    command += ["-X", "isolation.level=read_committed"]
    kcat = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert sorted(kcat.stdout.split()) == sorted(key for key, _ in lines)
    assert len(lines) > len(CONSULTING)
