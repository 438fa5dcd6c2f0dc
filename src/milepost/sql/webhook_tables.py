"""Who may send webhooks, and links that trigger a milestone, as tables. Instants are microseconds."""

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from milepost.sql.tables import metadata

__all__ = ["trigger_urls", "webhook_endpoints", "webhook_secrets"]

_Json = JSON().with_variant(JSONB(), "postgresql")

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("endpoint_id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("adapter", Text, nullable=False),
    Column("proof", Text, nullable=False),
    Column("engagements", _Json, nullable=False),
    Column("topics", _Json, nullable=False),
    Column("options", _Json, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

# `sealed`: encrypted, `milepost.sql.sealing` says how. `mark` is the beginning of the secret's hash, for people to tell
# two of them apart.
webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column(
        "endpoint_id",
        Text,
        ForeignKey("webhook_endpoints.endpoint_id", name="fk_webhook_secrets_endpoint_id"),
        primary_key=True,
    ),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("sealed", Text, nullable=False),
    Column("mark", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
)

# Neither a token nor its hash is here: `milepost.sql.link_tokens` says what a token is made of.
trigger_urls = Table(
    "trigger_urls",
    metadata,
    Column("trigger_id", Text, primary_key=True),
    Column("engagement_id", Text, nullable=False),
    Column("milestone_id", Text, nullable=False),
    Column("occurrence_id", Text),
    Column("completion", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("reported_by", Text),
    Column("key_id", Text, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("used_at", BigInteger),
    Column("published_at", BigInteger),
    Index(None, "engagement_id", "milestone_id"),
)
