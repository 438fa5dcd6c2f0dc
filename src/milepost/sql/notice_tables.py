"""What notices are owed to whom, how each attempt ended, and where they go. Instants are microseconds, as in
`sql.tables`."""

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from milepost.sql.tables import metadata

__all__ = ["notice_attempts", "notice_endpoints", "notice_people", "notices"]

_Json = JSON().with_variant(JSONB(), "postgresql")
_OWED = text("state = 'OWED'")

# One row is one delivery: what one output says to one recipient over one channel. `payload` is the text that is sent,
# kept so that every attempt sends the same. `address` is null where the directory has it (`notice_people`).
# `step_id` names the step of a submission that a request is about; `bundle_id` the delivery that took this one along.
notices = Table(
    "notices",
    metadata,
    Column("delivery_id", Text, primary_key=True),
    Column("output_id", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("engagement_id", Text),
    Column("step_id", Text),
    Column("channel", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("address", Text),
    Column("payload", Text, nullable=False),
    Column("record_partition", Integer, nullable=False),
    Column("record_offset", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("owed_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("bundle_id", Text),
    Column("attempts", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("claimed_by", Text),
    Column("claimed_until", BigInteger),
    Column("ended_at", BigInteger),
    # Almost every row has left it: only what is owed is looked for all the time.
    Index("ix_notices_owed", "due_at", sqlite_where=_OWED, postgresql_where=_OWED),
    Index(None, "owed_at"),
    Index(None, "step_id"),
    Index(None, "bundle_id"),
)

# A row is there before the attempt is made: one without `ended_at` was cut off, and whether it arrived is unknown.
notice_attempts = Table(
    "notice_attempts",
    metadata,
    Column("delivery_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("attempted_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("outcome", Text),
    Column("answer", Text),
    Column("next_attempt_at", BigInteger),
)

# `signing_keys` says what each secret is derived from; no secret is here (`notices.secrets`).
notice_endpoints = Table(
    "notice_endpoints",
    metadata,
    Column("endpoint_id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("types", _Json, nullable=False),
    Column("engagements", _Json, nullable=False),
    Column("signing_keys", _Json, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    Column("disabled_why", Text),
    Column("paused_until", BigInteger),
)

# Contracts and records hold opaque ids of people; what belongs to a person is here alone, and can be taken away.
notice_people = Table(
    "notice_people",
    metadata,
    Column("person_id", Text, primary_key=True),
    Column("address", Text, nullable=False),
    Column("name", Text),
    Column("changed_at", BigInteger, nullable=False),
)
