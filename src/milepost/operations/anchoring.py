"""Signs the audit trails' heads and puts them where the database's administrator has no say: a topic and a file.

The database numbers them, so that several may run; topic and file follow it, also after a crash in between.
"""

import json
import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from milepost.audit import anchors as signing
from milepost.codec.wire import Outgoing
from milepost.core.calendar import instant_text
from milepost.kafka.publishing import Publisher
from milepost.sql import anchors as storing
from milepost.sql.anchors import Head
from milepost.sql.engine import Engine

__all__ = ["HEADS_MOST", "TOPIC", "AnchorError", "anchor"]

TOPIC = "audit-anchors"
# An anchor stays below a record's limit: a head is 128 + 64 characters and a number at most.
HEADS_MOST = 2_000


class AnchorError(Exception):
    """Signing would make a false statement; the message says why."""


def anchor(engine: Engine, publisher: Publisher | None, key: Ed25519PrivateKey, file: Path | None, at: int) -> int:
    """Sign what is new at the instant `at` and publish what is not yet; how many anchors were signed.

    Raises `AnchorError`, `UnavailableError`, `PublishError`, `OSError`.
    """

    def sign(number: int, before: str | None, heads: list[Head]) -> str:
        now = instant_text(at)
        if before is not None and (last := json.loads(before)["anchor"]["signed_at"]) > now:
            raise AnchorError(f"the clock says {now}, but anchor {number - 1} was signed at {last}; set it right first")
        return signing.signed(key, number, before, now, [(one.engagement_id, one.sequence, one.hash) for one in heads])

    count = 0
    while storing.add(engine, at, sign, HEADS_MOST) is not None:
        count += 1
    if publisher is not None:
        for stored in storing.unpublished(engine):
            publisher.resend(Outgoing(TOPIC, None, stored.body.encode(), []), 0)
            publisher.flush()
            storing.published(engine, stored.number, at)
    if file is not None:
        _follow(file, storing.bodies(engine))
    return count


def _follow(file: Path, bodies: list[str]) -> None:
    """Append what the file has not; it must be a beginning of what was signed.

    The beginning may end within a line: a full disk takes a part of what is written.
    """
    known, signed = file.read_bytes() if file.exists() else b"", "".join(f"{body}\n" for body in bodies).encode()
    if not signed.startswith(known):
        raise AnchorError(f"{file} holds other anchors than the database: one of the two was changed; keep both")
    with file.open("ab") as out:
        out.write(signed[len(known) :])
        out.flush()
        os.fsync(out.fileno())
