"""Signed heads of audit trails: what a bare chain cannot show, that its end was cut off or all of it written anew.

An anchor is canonical JSON (sorted keys, no spaces, UTF-8): `number` from 1, `signed_at`, `public_key` (ed25519, hex),
`heads` as `[engagement, sequence, hash]`, `previous` (SHA-256 of the anchor before, 64 zeros for the first), and
`signature` (hex) over the same JSON without it. Kept where the database's administrator cannot write, it convicts.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from milepost.core.outputs import AuditEntry

__all__ = ["GENESIS", "Anchored", "anchored", "new_key", "public_key_of", "read_key", "signed", "trail_faults"]

GENESIS = "0" * 64

# By engagement the heads that were signed, as (sequence, hash, number of the anchor).
Anchored = dict[str, list[tuple[int, str, int]]]


def new_key() -> tuple[bytes, str]:
    """A private key as PEM, and its public key in hex."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, public_key_of(key)


def read_key(pem: bytes) -> Ed25519PrivateKey:
    """The private key in a PEM file. Raises `ValueError` for anything else."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (TypeError, ValueError) as error:
        raise ValueError("not a private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an ed25519 key; `milepost audit new-key` makes one")
    return key


def public_key_of(key: Ed25519PrivateKey) -> str:
    """Its public key in hex."""
    return key.public_key().public_bytes_raw().hex()


def signed(
    key: Ed25519PrivateKey, number: int, before: str | None, at: str, heads: Sequence[tuple[str, int, str]]
) -> str:
    """The anchor as text; `before` is the text of the one before it, `at` an instant in ISO 8601."""
    value: dict[str, Any] = {
        "number": number,
        "signed_at": at,
        "public_key": public_key_of(key),
        "heads": [list(head) for head in heads],
        "previous": GENESIS if before is None else _digest(before),
    }
    value["signature"] = key.sign(_canonical(value)).hex()
    return _canonical(value).decode()


def anchored(texts: Iterable[str], trusted: Sequence[str]) -> tuple[Anchored, list[str]]:
    """The heads of anchors in order, and what is wrong with the anchors; `trusted` public keys in hex."""
    heads: Anchored = {}
    faults: list[str] = []
    previous, last = GENESIS, ""
    for place, text in enumerate(texts, start=1):
        try:
            value = json.loads(text)
            number, at, key = value["number"], value["signed_at"], value["public_key"]
            named = [(engagement, sequence, hash_) for engagement, sequence, hash_ in value["heads"]]
        except (KeyError, TypeError, ValueError):
            faults.append(f"anchor {place} cannot be read")
            break
        if number != place:
            faults.append(f"anchor {place} is missing; {number} stands in its place")
            break
        if not _is_signed(value, key, trusted):
            faults.append(f"anchor {number} is not signed by a trusted key")
        if value["previous"] != previous:
            faults.append(f"anchor {number} does not follow the one before it")
        if at < last:
            faults.append(f"anchor {number} is dated {at}, before the one before it ({last})")
        for engagement, sequence, hash_ in named:
            heads.setdefault(engagement, []).append((sequence, hash_, number))
        previous, last = _digest(text), at
    return heads, faults


def trail_faults(entries: Sequence[AuditEntry], heads: Sequence[tuple[int, str, int]]) -> list[str]:
    """Where one engagement's entries contradict the heads that were signed."""
    by_sequence = {entry.sequence: entry.hash for entry in entries}
    faults = []
    for sequence, hash_, number in heads:
        found = by_sequence.get(sequence)
        if found is None:
            faults.append(f"entry {sequence} was signed in anchor {number} and is gone: the trail was cut off")
        elif found != hash_:
            faults.append(f"entry {sequence} is not what was signed in anchor {number}: the trail was written anew")
    return faults


def _is_signed(value: Mapping[str, Any], key: str, trusted: Sequence[str]) -> bool:
    if key not in trusted:
        return False
    unsigned = {name: part for name, part in value.items() if name != "signature"}
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(
            bytes.fromhex(value["signature"]), _canonical(unsigned)
        )
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return False
    return True


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
