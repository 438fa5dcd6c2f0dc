"""The ledger's tables, in SQLAlchemy Core.

A row is its record: columns have the names of `schemas/*.avsc` and hold the values as they were on the wire, so that
a row and a record can be compared without a conversion in between.

- Amounts are BIGINT minor units of `currency`; decimals ("99.8981") stay text, as sent.
- Instants are BIGINT microseconds since 1970 in UTC. SQLite has no timestamp type, and PostgreSQL's `timestamptz`
  cannot be read back into Python beyond the year 9999, so that one odd instant could stop the sink; the number is
  exact, total and sorts the same in both. For people: `to_timestamp(accepted_at / 1e6)` in PostgreSQL,
  `datetime(accepted_at / 1000000, 'unixepoch')` in SQLite; `milepost.sql.reading` and the CLI print ISO 8601.
- Calendar days are DATE. Lists and maps are JSON (JSONB in PostgreSQL).
- `record_partition` and `record_offset` say which record the row was first read from. `body_sha256` is the SHA-256 of
  the record's Avro body (without the five bytes of framing): an id that comes again must come with equal bytes.
- A missing `occurrence_id` is '' where it is part of a primary key, NULL elsewhere.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Date,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

__all__ = [
    "JSON",
    "Table",
    "approval_links",
    "approval_requests",
    "audit_anchors",
    "audit_entries",
    "dead_letters",
    "dispute_events",
    "engagement_events",
    "invoice_acknowledgements",
    "invoice_lines",
    "metadata",
    "milestone_status",
    "open_requests",
    "operator_actions",
    "retention_events",
    "sink_offsets",
]

# Names that both databases and every later migration can refer to.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Json = JSON().with_variant(JSONB(), "postgresql")


_CHANGES = text("input_topic = 'engagements'")
_DISPUTES = text("input_topic = 'dispute-events'")
_UNPUBLISHED = text("decided_at IS NOT NULL AND published_at IS NULL")


def _text(name: str, *, null: bool = False, key: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null, primary_key=key)


def _whole(name: str, *, null: bool = False, key: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null, primary_key=key, autoincrement=False)


def _small(name: str, *, null: bool = False, key: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=null, primary_key=key, autoincrement=False)


def _json(name: str) -> Column[object]:
    return Column(name, _Json, nullable=False)


def _origin() -> tuple[Column[int], Column[int]]:
    return _small("record_partition"), _whole("record_offset")


def _by_place() -> Index:
    """For those who go through a table in the order of its topic."""
    return Index(None, "record_partition", "record_offset")


def _body() -> Column[str]:
    return Column("body_sha256", String(64), nullable=False)


def _sent(name: str, *own: Column[Any] | Index) -> Table:
    """Events of an input topic as they came. Keyed by place, because an id may be sent twice with other contents."""
    ids = (_text("event_id"), _text("source"), _text("engagement_id"))
    place = (_small("record_partition", key=True), _whole("record_offset", key=True))
    return Table(name, metadata, *ids, *(one for one in own if isinstance(one, Column)), *place, _body(),
                 *(one for one in own if isinstance(one, Index)))  # fmt: skip


invoice_lines = Table(
    "invoice_lines",
    metadata,
    _text("line_id", key=True),
    _text("engagement_id"),
    _whole("contract_version"),
    _text("customer_id"),
    _text("supplier_id", null=True),
    _text("purchase_order", null=True),
    _text("buyer_reference", null=True),
    _text("milestone_id", null=True),
    _text("occurrence_id", null=True),
    _text("kind"),
    _whole("revision"),
    _text("completion"),
    _whole("gross_minor"),
    _whole("retained_minor"),
    _whole("payable_minor"),
    _text("currency"),
    _small("currency_exponent"),
    _text("quantity"),
    _text("unit_code"),
    _text("unit_price"),
    _text("item", null=True),
    _text("tax_category", null=True),
    _text("description"),
    Column("service_from", Date, nullable=False),
    Column("service_to", Date, nullable=False),
    _whole("accepted_at"),
    _text("bill_on"),
    _text("due_after", null=True),
    _text("corrects_line_id", null=True),
    _json("caused_by"),
    _json("evidence"),
    _json("attributes"),
    *_origin(),
    _body(),
    _by_place(),
    Index(None, "engagement_id", "record_offset"),
    Index(None, "corrects_line_id"),
)

retention_events = Table(
    "retention_events",
    metadata,
    _text("retention_event_id", key=True),
    _text("engagement_id"),
    _text("milestone_id", null=True),
    _text("occurrence_id", null=True),
    _text("kind"),
    _whole("amount_minor"),
    _whole("balance_minor"),
    _text("currency"),
    _small("currency_exponent"),
    _text("line_id"),
    _text("release_id", null=True),
    _json("releases"),
    _whole("occurred_at"),
    *_origin(),
    _body(),
    _by_place(),
    Index(None, "engagement_id", "record_offset"),
    Index(None, "line_id"),
)

approval_requests = Table(
    "approval_requests",
    metadata,
    _text("request_id", key=True),
    _text("engagement_id"),
    _text("milestone_id"),
    _text("occurrence_id", null=True),
    _whole("submission"),
    _text("submission_hash"),
    _whole("step"),
    _text("role"),
    _json("people"),
    _text("kind"),
    _whole("due_at", null=True),
    _whole("gross_minor"),
    _text("currency"),
    _small("currency_exponent"),
    _text("criteria", null=True),
    _json("evidence"),
    *_origin(),
    _body(),
    _by_place(),
    Index(None, "engagement_id", "milestone_id", "occurrence_id"),
    Index(None, "engagement_id", "record_offset"),
)

# Which of them ask somebody now, by step and role: kept with each batch (`waiting.py`), so that a page of what waits
# costs what it shows and not what was ever asked. `due_at` is the end of time where nothing is due.
open_requests = Table(
    "open_requests",
    metadata,
    _text("engagement_id", key=True),
    _text("milestone_id", key=True),
    _text("occurrence_id", key=True),
    _whole("submission", key=True),
    _whole("step", key=True),
    _text("role", key=True),
    _text("request_id"),
    _whole("due_at"),
    _whole("record_offset"),
    Index(None, "due_at", "engagement_id", "record_offset"),
)

milestone_status = Table(
    "milestone_status",
    metadata,
    _text("engagement_id", key=True),
    _text("milestone_id", key=True),
    _text("occurrence_id", key=True),
    _text("state"),
    _text("completion"),
    _text("billed_completion"),
    _json("missing"),
    _json("parked"),
    _whole("at_stake_minor"),
    _text("currency", null=True),
    _small("currency_exponent", null=True),
    _whole("submission"),
    Column("planned_on", Date, nullable=True),
    _whole("reported_at", null=True),
    _whole("submitted_at", null=True),
    _whole("accepted_at", null=True),
    _whole("billed_at", null=True),
    _whole("disputed_minor"),
    *_origin(),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    _text("engagement_id", key=True),
    _whole("sequence", key=True),
    _text("what"),
    _text("reason", null=True),
    _text("event_id", null=True),
    _text("input_topic", null=True),
    _small("input_partition", null=True),
    _whole("input_offset", null=True),
    _text("line_id", null=True),
    _whole("occurred_at"),
    _whole("recorded_at"),
    _text("previous_hash"),
    _text("hash"),
    *_origin(),
    _body(),
    _by_place(),
    # What was done with engagements is few among the entries, and asked for together.
    Index(None, "input_partition", "input_offset", sqlite_where=_CHANGES, postgresql_where=_CHANGES),
    Index(
        "ix_audit_entries_disputes",
        "input_partition",
        "input_offset",
        sqlite_where=_DISPUTES,
        postgresql_where=_DISPUTES,
    ),
)

# The bytes stay in Kafka; this says where. Keyed by the place of the dead letter itself, because the headers that name
# the original may be missing when a stranger wrote it. No index on `engagement_key`: it is whatever bytes somebody
# sent, and PostgreSQL refuses rows whose indexed value is longer than a third of a page.
dead_letters = Table(
    "dead_letters",
    metadata,
    _text("record_topic", key=True),
    _small("record_partition", key=True),
    _whole("record_offset", key=True),
    _text("reason"),
    _text("message"),
    _text("dead_letter_id", null=True),
    _text("original_topic", null=True),
    _small("original_partition", null=True),
    _whole("original_offset", null=True),
    _text("engagement_key", null=True),
    _whole("size_bytes", null=True),
    _whole("recorded_at"),
    _body(),
)

# What was sent, whether the join took it or not: the audit trail says that. `contract` is the document as
# JSON text.
engagement_events = _sent(
    "engagement_events",
    _text("change"),
    _whole("occurred_at"),
    _text("contract", null=True),
    _text("actor", null=True),
    _json("evidence"),
    Index(None, "engagement_id"),
)

# What was said in disputes of lines, whether the join took it or not, as for engagements.
dispute_events = _sent(
    "dispute_events",
    _text("dispute_id"),
    _text("line_id"),
    _text("kind"),
    _whole("occurred_at"),
    _whole("amount_minor", null=True),
    _text("actor", null=True),
    _text("reason", null=True),
    _json("evidence"),
    Index(None, "line_id"),
)

# What the ERP said; the newest of a line by `occurred_at` counts.
invoice_acknowledgements = _sent(
    "invoice_acknowledgements",
    _text("line_id"),
    _text("status"),
    _whole("occurred_at"),
    _text("document_number", null=True),
    Column("document_date", Date, nullable=True),
    _text("reason", null=True),
    Index(None, "engagement_id"),
    Index(None, "line_id"),
)

# What operators did by hand, as a hash chain of its own: the engagements' audit trails are the join's alone.
operator_actions = Table(
    "operator_actions",
    metadata,
    _whole("sequence", key=True),
    _whole("occurred_at"),
    _text("actor"),
    _text("action"),
    _text("subject"),
    _text("reason", null=True),
    _text("previous_hash"),
    _text("hash"),
    Index(None, "subject"),
)

# The audit trails' heads, signed and numbered: who changes a trail afterwards contradicts them. `body` is the signed
# JSON; `positions` says where in the audit trail the next one goes on: next offset by partition, as JSON.
audit_anchors = Table(
    "audit_anchors",
    metadata,
    _whole("number", key=True),
    _whole("signed_at"),
    _text("body"),
    _text("positions"),
    _whole("published_at", null=True),
)

# The only position of the sink: Kafka's group offsets are never written nor read.
sink_offsets = Table(
    "sink_offsets",
    metadata,
    _text("topic", key=True),
    _small("partition", key=True),
    _whole("next_offset"),
    _whole("txseq", null=True),
)

# Links that let one person take one decision. Neither a token nor its hash is here: `milepost.sql.link_tokens` says
# what a token is made of. `event` is the decision as it goes to the topic, in JSON, from before it is sent.
approval_links = Table(
    "approval_links",
    metadata,
    _text("link_id", key=True),
    _text("request_id"),
    _text("engagement_id"),
    _text("milestone_id"),
    _text("occurrence_id", null=True),
    _whole("submission"),
    _text("submission_hash"),
    _whole("step"),
    _text("role"),
    _text("person"),
    _text("key_id"),
    _text("nonce"),
    _whole("issued_at"),
    _whole("expires_at"),
    _text("decision", null=True),
    _whole("decided_at", null=True),
    _text("event", null=True),
    _whole("published_at", null=True),
    UniqueConstraint("request_id", "person"),
    Index(None, "engagement_id", "milestone_id", "occurrence_id"),
    # Almost every row has left it: only what was decided and not sent yet is looked for.
    Index("ix_approval_links_unpublished", "decided_at", sqlite_where=_UNPUBLISHED, postgresql_where=_UNPUBLISHED),
)
