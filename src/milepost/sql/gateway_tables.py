"""What the gateway must remember, as tables that its instances share. Instants are microseconds, as in `sql.tables`."""

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from milepost.sql.tables import metadata

__all__ = [
    "acknowledged_requests",
    "api_keys",
    "engagement_tenants",
    "evidence_uses",
    "idempotency_keys",
    "remembered_events",
]

_Json = JSON().with_variant(JSONB(), "postgresql")

# A key's secret is not here: `secret_sha256` is what is left of it.
api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("engagements", _Json, nullable=False),
    Column("actions", _Json, nullable=False),
    Column("person", Text),
    Column("roles", _Json, nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    Index(None, "name"),
)

# Who may know of an engagement that was opened through the gateway: the parties of its contract.
engagement_tenants = Table(
    "engagement_tenants",
    metadata,
    Column("engagement_id", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
)

# Ids of events and messages that came in, with the hash of what they said and the request that brought them first.
# `acknowledged_at`, or that of the request in `acknowledged_requests`, once Kafka has it.
remembered_events = Table(
    "remembered_events",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("body_sha256", String(64), nullable=False),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("request_id", BigInteger),
    Column("acknowledged_at", BigInteger),
    Index(None, "first_seen_at"),
)

# Requests whose events Kafka has, all that they brought first: one row where each event would need a change of its own.
acknowledged_requests = Table(
    "acknowledged_requests",
    metadata,
    Column("request_id", BigInteger, primary_key=True, autoincrement=False),
    Column("acknowledged_at", BigInteger, nullable=False),
    Index(None, "acknowledged_at"),
)

# Answers to requests with an `Idempotency-Key`: `status` is null while the first one is being answered.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("principal", Text, primary_key=True),
    Column("idempotency_key", Text, primary_key=True),
    Column("request_sha256", String(64), nullable=False),
    Column("held_until", BigInteger, nullable=False),
    Column("status", Integer),
    Column("content_type", Text),
    Column("body", LargeBinary),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "expires_at"),
)

# Which engagement a file of evidence was uploaded for, and by whom: who may know of the engagement may read the file.
evidence_uses = Table(
    "evidence_uses",
    metadata,
    Column("engagement_id", Text, primary_key=True),
    Column("sha256", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("uploaded_by", Text, nullable=False),
    Column("uploaded_at", BigInteger, nullable=False),
    Index(None, "sha256"),
)
