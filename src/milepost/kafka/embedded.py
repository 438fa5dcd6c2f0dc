"""A broker inside this process, for development and the demo: librdkafka's mock cluster, from a client's wheel.

It speaks enough of the protocol for producers, transactions and consumer groups of any client on this machine. What it
does not do decides what it is good for: everything is in memory; it knows no CreateTopics (a topic appears, with
`PARTITIONS` partitions, when somebody asks for its metadata); readers see aborted records whatever their isolation
level; it forgets the offsets that a transaction carries, and fences nobody. Its transaction markers carry no CRC, so
aiokafka's consumers need `check_crcs=False` here (`embedded_at` says where that is), and a fetch brings one batch of a
partition. A member of a group whose SyncGroup comes after the leader's is told INVALID_REQUEST and must join again:
workers of one group belong into processes of their own. Exactly once is promised on real Kafka only.
"""

from threading import Thread
from types import TracebackType

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

__all__ = ["PARTITIONS", "EmbeddedBroker", "EmbeddedBrokerError", "embedded_at", "is_embedded"]

# librdkafka's default for a topic that it creates by itself; Python has no way to say otherwise.
PARTITIONS = 4
# The mock cluster's thread answers within a millisecond or never will.
START_S = 10.0
CLOSE_S = 5.0
# "Mock cluster enabled" and every lost connection are notices and warnings; errors are worth a line.
SYSLOG_ERROR = 3
# An exception says it already.
SYSLOG_CRITICAL = 2
# What librdkafka's mock cluster calls itself (rdkafka_mock.c); a real cluster's id is 22 characters of base64.
CLUSTER_ID_PREFIX = "mockCluster"


def is_embedded(cluster_id: str | None) -> bool:
    """Whether a cluster with this id (as its metadata give it) is the embedded broker."""
    return cluster_id is not None and cluster_id.startswith(CLUSTER_ID_PREFIX)


def embedded_at(bootstrap_servers: str, timeout_s: float = START_S) -> bool:
    """Whether the embedded broker answers at `bootstrap_servers`; blocks for milliseconds, or until the time is over.

    Raises `EmbeddedBrokerError` when no broker answers in time.
    """
    try:
        client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": SYSLOG_CRITICAL})
        return is_embedded(client.list_topics(timeout=timeout_s).cluster_id)
    except KafkaException as error:
        raise EmbeddedBrokerError(f"no broker answers at {bootstrap_servers}: {error}") from error


class EmbeddedBrokerError(Exception):
    """The embedded broker did not start; the message is librdkafka's."""


class EmbeddedBroker:
    """Context manager: a mock cluster of one node that lives until it is closed; the data goes with it."""

    def __init__(self) -> None:
        self._handle: Producer | None = None
        self._bootstrap_servers = ""

    def start(self) -> str:
        """Start the cluster and return its bootstrap servers, `127.0.0.1:PORT`; the port is a free one.

        Raises `EmbeddedBrokerError` when it does not answer within `START_S` seconds.
        """
        handle = Producer({"test.mock.num.brokers": 1, "log_level": SYSLOG_ERROR})
        try:
            brokers = handle.list_topics(timeout=START_S).brokers.values()
        except KafkaException as error:
            raise EmbeddedBrokerError(f"the embedded broker did not start: {error}") from error
        # The producer is the only handle on the cluster: when it is collected, the cluster ends.
        self._handle = handle
        self._bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        return self._bootstrap_servers

    @property
    def bootstrap_servers(self) -> str:
        """The address once started; `RuntimeError` before and after."""
        if self._handle is None:
            raise RuntimeError("the embedded broker does not run; use it as a context manager")
        return self._bootstrap_servers

    def close(self) -> None:
        """End the cluster and forget its data; closing twice is fine."""
        if self._handle is None:
            return
        handles, self._handle = [self._handle], None
        # Elsewhere and within a bound: now and then librdkafka waits for ever for a thread of its own while clients of
        # the cluster are still connecting. What is left then ends with the process.
        closing = Thread(target=handles.clear, name="embedded-broker-closing", daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    def __enter__(self) -> "EmbeddedBroker":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
