"""The brokers that tests run on do what the fixtures promise."""

import time

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from milepost.kafka import embedded
from tests.brokers import StartKafka

pytestmark = pytest.mark.kafka


def test_real_kafka_answers_and_creates_no_topic_by_itself(real_kafka: str, topic_prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": real_kafka})
    metadata = admin.list_topics(timeout=10)
    assert len(metadata.brokers) == 1
    assert not embedded.is_embedded(metadata.cluster_id)
    assert admin.list_topics(f"{topic_prefix}a", timeout=10).topics[f"{topic_prefix}a"].error is not None
    assert f"{topic_prefix}a" not in admin.list_topics(timeout=10).topics


@pytest.mark.slow
def test_three_nodes_replicate_a_topic_three_times(kafka_clusters: StartKafka) -> None:
    cluster = kafka_clusters(nodes=3, settings={"log.retention.hours": "1"})
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers})
    admin.create_topics([NewTopic("a", 2)])["a"].result(20)
    deadline = time.monotonic() + 10
    while "a" not in (metadata := admin.list_topics(timeout=10)).topics:  # each node learns of it in its own time
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(metadata.brokers) == 3
    assert {len(partition.replicas) for partition in metadata.topics["a"].partitions.values()} == {3}
    assert len({cluster.process(node) for node in (1, 2, 3)}) == 3
    assert "log.retention.hours=1" in (cluster.folder / "node-3" / "server.properties").read_text()
