"""Names and hashes that are the same wherever and whenever they are computed (events.md, "Out").

An id is made of what a thing is, never of event ids, offsets, time or chance: whatever is repeated, replayed or
restarted raises the same id.
"""

from functools import lru_cache
from hashlib import sha1, sha256
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_OID, uuid5

import msgspec

__all__ = ["GENESIS", "canonical_json", "digest", "escape", "identify"]

_NAMESPACE = uuid5(NAMESPACE_OID, "milepost").bytes
GENESIS = "0" * 64  # the `previous_hash` of an engagement's first audit entry

_json = msgspec.json.Encoder(order="sorted").encode


@lru_cache(maxsize=1 << 16)
def escape(part: str) -> str:
    """Percent-encoded but for letters, digits and `-._~`."""
    return quote(part, safe="")


def identify(what: str, engagement: str, milestone: str, occurrence: str, effect: str, revision: int) -> str:
    """UUIDv5 of `what/engagement/milestone/occurrence/effect/revision`, each part percent-encoded."""
    name = f"{what}/{escape(engagement)}/{escape(milestone)}/{escape(occurrence)}/{escape(effect)}/{revision}"
    # uuid.uuid5, without the objects around it: this runs for every line
    raw = bytearray(sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x50
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8."""
    return _json(value)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, in hex."""
    return sha256(_json(value)).hexdigest()
