"""Every metric, defined once, with its sentence.

A metric is a module constant; who counts imports this module and writes `metrics.EVENTS_IN.labels(topic).inc()`. Base
units only (seconds, bytes), counters end in `_total`, and no label ever holds an engagement, a customer or a person:
all label sets are bounded by the topics, reasons and outcomes that the program itself names. What happened when is
exported as a timestamp, never as an age, so that a process that hangs still shows it.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = [
    "ANCHORS_COMPLETE",
    "ANCHORS_SIGNED",
    "APPROVALS",
    "ARRIVAL_TO_LINE_SECONDS",
    "BATCH_RECORDS",
    "BATCH_SECONDS",
    "BLOCKED",
    "BLOCKED_SINCE",
    "CLOCK_LAST_TICK",
    "CLOCK_LEADS",
    "CLOCK_SKEW",
    "CLOCK_TICKS",
    "CONSERVATION_VIOLATIONS",
    "DEAD_LETTERS",
    "DEAD_LETTERS_OLDEST",
    "DEAD_LETTERS_OPEN",
    "DIFFERENCES",
    "EVENTS_IN",
    "EVENT_TO_LINE_SECONDS",
    "EVIDENCE_DAMAGED",
    "EVIDENCE_UPLOADS",
    "GATEWAY_EVENTS",
    "GATEWAY_REQUESTS",
    "GATEWAY_REQUEST_SECONDS",
    "GATEWAY_RUNNING",
    "GATEWAY_WEBHOOKS",
    "GAUGES_REFRESHED",
    "JOIN_LAG",
    "LAST_COMMIT",
    "LEDGER_BATCH_SECONDS",
    "LEDGER_LAG",
    "LEDGER_ROWS",
    "LINK_DECISIONS",
    "MONEY",
    "NOTICE_ATTEMPTS",
    "NOTICE_OLDEST_OWED",
    "NOTICE_OUTCOMES",
    "NOTICE_OWED",
    "NOTICE_RECORDS",
    "OUTCOMES",
    "OUTPUTS",
    "PARTITIONS",
    "REGISTRY",
    "RESTORE_SECONDS",
    "TRANSACTIONS",
    "TRANSACTION_OUTCOMES",
    "announce",
]

# One registry, ours, so that a test or an embedding program never meets somebody else's metrics.
REGISTRY = CollectorRegistry(auto_describe=True)

TRANSACTION_OUTCOMES = ("committed", "uncertain", "failed", "fenced")
NOTICE_OUTCOMES = ("sent", "retry", "failed", "withdrawn")

# From a batch folded in memory to one that waits for a broker's fail-over.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
# From the join's latency to a fact that came a month late.
_DELAYS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3_600.0, 86_400.0, 604_800.0, 2_592_000.0)
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
JOIN_LAG = Gauge(
    "milepost_join_lag_records",
    "Records of this worker's partitions that it has not joined yet, by input topic.",
    ["topic"],
    registry=REGISTRY,
)
RESTORE_SECONDS = Histogram(
    "milepost_join_restore_seconds",
    "Time that restoring one partition from its changelog took.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
CONSERVATION_VIOLATIONS = Counter(
    "milepost_join_conservation_violations_total",
    "Events that would have made money appear or vanish; each became a dead letter, and somebody must look.",
    registry=REGISTRY,
)
LEDGER_LAG = Gauge(
    "milepost_ledger_lag_records",
    "Records of this ledger's partitions that it has not stored yet, by topic.",
    ["topic"],
    registry=REGISTRY,
)
OUTCOMES = Counter(
    "milepost_ledger_outcomes_total",
    "What became of events, as the audit trail says: applied, waiting, refused, parked, flagged; by reason.",
    ["outcome", "reason"],
    registry=REGISTRY,
)
EVENT_TO_LINE_SECONDS = Histogram(
    "milepost_ledger_event_to_line_seconds",
    "From the time that an event states to the append of the invoice line that it closed.",
    buckets=_DELAYS,
    registry=REGISTRY,
)
ARRIVAL_TO_LINE_SECONDS = Histogram(
    "milepost_ledger_arrival_to_line_seconds",
    "From an event's arrival in Kafka to the append of the invoice line that it closed.",
    buckets=_DELAYS,
    registry=REGISTRY,
)
MONEY = Gauge(
    "milepost_ledger_money_amount",
    "Money of all invoice lines in units of the currency, as the database says; by currency and kind: billed (gross), "
    "retained (withheld now), released, clawed_back, payable. The same on every ledger of a database.",
    ["currency", "kind"],
    registry=REGISTRY,
)
BLOCKED = Gauge(
    "milepost_ledger_blocked_amount",
    "Money at stake of occurrences that miss a gate, in units of the currency; once for each kind of gate that is "
    "missing, so do not add the gates up. The same on every ledger of a database.",
    ["currency", "gate"],
    registry=REGISTRY,
)
BLOCKED_SINCE = Gauge(
    "milepost_ledger_blocked_since_timestamp_seconds",
    "Unix time since when the oldest occurrence with money at stake misses a gate of this kind, where that is known.",
    ["gate"],
    registry=REGISTRY,
)
APPROVALS = Gauge(
    "milepost_ledger_approvals",
    "Signatures that are asked for and not given, by state: open (all of them), overdue (their deadline has passed).",
    ["state"],
    registry=REGISTRY,
)
DEAD_LETTERS_OPEN = Gauge(
    "milepost_ledger_dead_letters_open",
    "Dead letters that nobody sent again or put aside, by reason.",
    ["reason"],
    registry=REGISTRY,
)
DEAD_LETTERS_OLDEST = Gauge(
    "milepost_ledger_dead_letters_oldest_timestamp_seconds",
    "Unix time at which the oldest dead letter came that nobody sent again or put aside; 0: there is none.",
    registry=REGISTRY,
)
DIFFERENCES = Gauge(
    "milepost_ledger_differences",
    "Invoice lines about which ledger and ERP differ, as `milepost reconcile` lists them, by difference: rejected (the "
    "ERP refused it and has not taken it since), unanswered (nothing was said of it for three days, by an ERP that "
    "answers), unknown (the ERP answered for a line that was never raised), twice (it is in two documents).",
    ["difference"],
    registry=REGISTRY,
)
GAUGES_REFRESHED = Gauge(
    "milepost_ledger_refreshed_timestamp_seconds",
    "Unix time at which the gauges that are computed from the database were computed last; 0: not yet.",
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
NOTICE_RECORDS = Counter(
    "milepost_notices_records_total",
    "Records that notices read and whose deliveries are stored as owed, by topic.",
    ["topic"],
    registry=REGISTRY,
)
NOTICE_ATTEMPTS = Counter(
    "milepost_notices_attempts_total",
    "E-mails and webhooks that this instance attempted, by channel and outcome: sent, retry (tried again later), "
    "failed (given up), withdrawn (not sent, because there was nothing left to say).",
    ["channel", "outcome"],
    registry=REGISTRY,
)
NOTICE_OWED = Gauge(
    "milepost_notices_owed",
    "E-mails and webhooks that are owed by all instances together, those that are tried again included, by channel.",
    ["channel"],
    registry=REGISTRY,
)
NOTICE_OLDEST_OWED = Gauge(
    "milepost_notices_oldest_owed_timestamp_seconds",
    "Unix time since when the oldest of them is owed, by channel; 0: none is.",
    ["channel"],
    registry=REGISTRY,
)

ANCHORS_SIGNED = Counter(
    "milepost_anchors_signed_total",
    "Anchors that this process signed, each over the heads of the audit trails that moved since the one before.",
    registry=REGISTRY,
)
ANCHORS_COMPLETE = Gauge(
    "milepost_anchors_complete_timestamp_seconds",
    "Unix time at which every audit trail's head was last signed, on its topic and in its file; 0: not yet.",
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
        JOIN_LAG.labels(topic)
    for topic in outputs:
        OUTPUTS.labels(topic)
    for topic in ledger:
        LEDGER_ROWS.labels(topic)
        LEDGER_LAG.labels(topic)
    for outcome in TRANSACTION_OUTCOMES:
        TRANSACTIONS.labels(outcome)
