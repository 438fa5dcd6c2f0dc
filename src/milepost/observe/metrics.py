"""Every metric, defined once, with its sentence.

A metric is a module constant; who counts imports this module and writes `metrics.EVENTS_IN.labels(topic).inc()`. Base
units only (seconds, bytes), counters end in `_total`, and no label ever holds an engagement, a customer or a person:
all label sets are bounded by the topics, reasons and outcomes that the program itself names. What happened when is
exported as a timestamp, never as an age, so that a process that hangs still shows it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

__all__ = [
    "BATCH_RECORDS",
    "BATCH_SECONDS",
    "CLOCK_LAST_TICK",
    "CLOCK_LEADS",
    "CLOCK_SKEW",
    "CLOCK_TICKS",
    "DEAD_LETTERS",
    "EVENTS_IN",
    "EVIDENCE_DAMAGED",
    "EVIDENCE_UPLOADS",
    "GATEWAY_EVENTS",
    "GATEWAY_REQUESTS",
    "GATEWAY_REQUEST_SECONDS",
    "GATEWAY_RUNNING",
    "GATEWAY_WEBHOOKS",
    "LAST_COMMIT",
    "LEDGER_BATCH_SECONDS",
    "LEDGER_ROWS",
    "LINK_DECISIONS",
    "OUTPUTS",
    "PARTITIONS",
    "REGISTRY",
    "TRANSACTIONS",
    "TRANSACTION_OUTCOMES",
    "Exposition",
    "announce",
    "expose",
]

# One registry, ours, so that a test or an embedding program never meets somebody else's metrics.
REGISTRY = CollectorRegistry(auto_describe=True)

TRANSACTION_OUTCOMES = ("committed", "uncertain", "failed", "fenced")

# From a batch folded in memory to one that waits for a broker's fail-over.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
_RECORDS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)

EVENTS_IN = Counter(
    "milepost_join_events_in_total",
    "Records that the join read and committed, by input topic.",
    ["topic"],
    registry=REGISTRY,
)
OUTPUTS = Counter(
    "milepost_join_outputs_total",
    "Records that the join's committed transactions wrote, by output topic, state not counted.",
    ["topic"],
    registry=REGISTRY,
)
DEAD_LETTERS = Counter(
    "milepost_join_dead_letters_total",
    "Records that could not become an event, committed to the dead-letter topic, by reason.",
    ["reason"],
    registry=REGISTRY,
)
TRANSACTIONS = Counter(
    "milepost_join_transactions_total",
    "Kafka transactions that the join ended, by outcome: committed, uncertain (committed, its first answer was lost), "
    "failed, fenced (another worker owns the partition).",
    ["outcome"],
    registry=REGISTRY,
)
BATCH_SECONDS = Histogram(
    "milepost_join_batch_seconds",
    "Time from a polled batch to its committed transaction.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
BATCH_RECORDS = Histogram(
    "milepost_join_batch_records",
    "Input records in one committed transaction.",
    buckets=_RECORDS,
    registry=REGISTRY,
)
PARTITIONS = Gauge(
    "milepost_join_partitions",
    "Partitions that this worker has restored and is joining.",
    registry=REGISTRY,
)
LAST_COMMIT = Gauge(
    "milepost_join_last_commit_timestamp_seconds",
    "Unix time of this worker's last committed transaction; 0: none yet.",
    registry=REGISTRY,
)
LEDGER_ROWS = Counter(
    "milepost_ledger_rows_total",
    "Records that the ledger stored in committed SQL transactions, by topic.",
    ["topic"],
    registry=REGISTRY,
)
LEDGER_BATCH_SECONDS = Histogram(
    "milepost_ledger_batch_seconds",
    "Time from a polled batch to its committed SQL transaction.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
CLOCK_TICKS = Counter(
    "milepost_clock_ticks_total",
    "Ticks that this instance sent and the brokers acknowledged, one for each partition.",
    registry=REGISTRY,
)
CLOCK_LAST_TICK = Gauge(
    "milepost_clock_last_tick_timestamp_seconds",
    "Unix time that this instance's last tick stated; 0: it sent none.",
    registry=REGISTRY,
)
CLOCK_LEADS = Gauge(
    "milepost_clock_leads",
    "1 on the instance that sends the ticks, 0 on the others.",
    registry=REGISTRY,
)
CLOCK_SKEW = Gauge(
    "milepost_clock_skew_seconds",
    "By how much this machine's time is ahead of the broker's at the least, negative where it is behind.",
    registry=REGISTRY,
)

GATEWAY_REQUESTS = Counter(
    "milepost_gateway_requests_total",
    "Requests that the gateway answered, by route (as in the API's description) and status.",
    ["route", "status"],
    registry=REGISTRY,
)
GATEWAY_REQUEST_SECONDS = Histogram(
    "milepost_gateway_request_seconds",
    "Time from a request's head to the end of its answer, by route.",
    ["route"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
GATEWAY_RUNNING = Gauge(
    "milepost_gateway_running_requests",
    "Requests that the gateway is answering now.",
    registry=REGISTRY,
)
GATEWAY_EVENTS = Counter(
    "milepost_gateway_events_total",
    "Events that came over HTTP, by topic and outcome: accepted (the brokers acknowledged them), repeated (known and "
    "acknowledged before, not sent again), contradicted (an id that came before with another body), unacknowledged.",
    ["topic", "outcome"],
    registry=REGISTRY,
)
EVIDENCE_UPLOADS = Counter(
    "milepost_gateway_evidence_uploads_total",
    "Uploads of evidence, by outcome: kept, known (the store had the file), or the code that refused it.",
    ["outcome"],
    registry=REGISTRY,
)
EVIDENCE_DAMAGED = Counter(
    "milepost_gateway_evidence_damaged_total",
    "Downloads that were refused because the file is missing or its bytes no longer have its hash.",
    registry=REGISTRY,
)
LINK_DECISIONS = Counter(
    "milepost_gateway_link_decisions_total",
    "Decisions by approval link that Kafka acknowledged, by outcome: approved or rejected.",
    ["outcome"],
    registry=REGISTRY,
)
GATEWAY_WEBHOOKS = Counter(
    "milepost_gateway_webhooks_total",
    "Webhooks by the endpoint's adapter and outcome: accepted, repeated (all of it was known), passed_over (it has no "
    "event), refused (its content, see the log), contradicted (an id that came before with another body: somebody "
    "reuses ids or forges), unproven (no valid signature or secret), unavailable (Kafka or the database was away).",
    ["adapter", "outcome"],
    registry=REGISTRY,
)


def announce(inputs: Iterable[str] = (), outputs: Iterable[str] = (), ledger: Iterable[str] = ()) -> None:
    """Start the series of known labels at 0, so that a rate sees the first event and an alert sees silence."""
    for topic in inputs:
        EVENTS_IN.labels(topic)
    for topic in outputs:
        OUTPUTS.labels(topic)
    for topic in ledger:
        LEDGER_ROWS.labels(topic)
    for outcome in TRANSACTION_OUTCOMES:
        TRANSACTIONS.labels(outcome)


@dataclass(frozen=True)
class Exposition:
    """A running HTTP server that answers `GET /metrics`; `port` is the one it got."""

    host: str
    port: int
    server: WSGIServer
    thread: Thread

    def stop(self) -> None:
        """Stop answering and free the port; takes at most half a second."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def expose(host: str, port: int) -> Exposition:
    """Serve `REGISTRY` on `host:port` from a thread of its own; port 0 takes a free one.

    Raises `OSError` when the address is taken or not ours. (The setting `metrics_port` 0 means "none"; that is for the
    caller to see.)
    """
    server, thread = start_http_server(port, addr=host, registry=REGISTRY)
    return Exposition(host, server.server_port, server, thread)
