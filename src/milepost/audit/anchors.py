"""Signed heads of audit trails: what a bare chain cannot show, that its end was cut off or all of it written anew.

A line is canonical JSON (sorted keys, no spaces, UTF-8): `{"anchor": {...}, "heads": [[engagement, sequence, hash,
contents]]}`; `milepost.audit.contents` says what the last of these is, and anchors of before it do without.
The anchor is signed: `number` from 1, `signed_at`, `public_key` (ed25519, hex), `root` (of the heads' Merkle tree as in
RFC 6962, so that one head can be proven without telling the others), `previous` (SHA-256 of the anchor before as
canonical JSON, 64 zeros for the first), `schemas` (by id the SHA-256 of each Avro schema as canonical JSON), and
`signature` (hex) over the same JSON without it.
Kept where the database's administrator cannot write, it convicts. The chain of what operators did by hand has a head
too, under a name that no engagement can have.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = [
    "GENESIS",
    "OPERATORS",
    "Anchored",
    "Link",
    "Past",
    "Signed",
    "anchored",
    "canonical",
    "endorsed",
    "new_key",
    "path",
    "public_key_of",
    "read_key",
    "signed",
    "trail_faults",
]

GENESIS = "0" * 64
# What operators did by hand; no engagement's id has a star.
OPERATORS = "*operators"

Head = tuple[Any, ...]
"""An engagement, the sequence of its newest audit entry, that entry's hash, and (not of operators) the contents."""


class Signed(NamedTuple):
    """A head that was signed, and the number of the anchor; `contents` is None where they were not signed."""

    sequence: int
    hash: str
    number: int
    contents: Mapping[str, Any] | None = None


Anchored = dict[str, list[Signed]]
"""By engagement the heads that were signed, the oldest first."""


class Link(Protocol):
    """An entry of a chain, an engagement's or the operators'."""

    @property
    def sequence(self) -> int:
        """Its number, from 1."""

    @property
    def hash(self) -> str:
        """In hex."""


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
    key: Ed25519PrivateKey,
    number: int,
    before: str | None,
    at: str,
    heads: Sequence[Head],
    schemas: Mapping[str, str] | None = None,
) -> str:
    """The line for at least one head; `before` is the line before it, `at` an instant in ISO 8601."""
    previous = GENESIS if before is None else _digest(json.loads(before)["anchor"])
    root = _levels(heads)[-1][0].hex()
    values = {"number": number, "signed_at": at, "root": root, "previous": previous, "schemas": dict(schemas or {})}
    anchor = endorsed(key, values)
    return canonical({"anchor": anchor, "heads": [list(head) for head in heads]}).decode()


@dataclass
class Past:
    """What was signed so far: the heads by engagement, what is wrong with the anchors, and where the next goes on."""

    trusted: Sequence[str]
    heads: Anchored = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    number: int = 0
    previous: str = GENESIS
    at: str = ""

    def read(self, lines: Iterable[str]) -> None:
        """Take the anchors that follow, in order; behind one that cannot be read nothing is looked at."""
        for line in lines:
            if not self._take(line):
                break

    def ends_with(self, line: str | None) -> bool:
        """Whether that is the last one of these; None: there is none."""
        return self.previous == (GENESIS if line is None else _digest(json.loads(line)["anchor"]))

    def _take(self, line: str) -> bool:
        place = self.number + 1
        try:
            value = json.loads(line)
            anchor = value["anchor"]
            number, at, root = anchor["number"], anchor["signed_at"], anchor["root"]
            named = [_head(*head) for head in value["heads"]]
            is_whole = _levels(named)[-1][0].hex() == root
        except (IndexError, KeyError, TypeError, ValueError):
            self.faults.append(f"anchor {place} cannot be read")
            return False
        if number != place:
            self.faults.append(f"anchor {place} is missing; {number} stands in its place")
            return False
        if not _is_signed(anchor, self.trusted):
            self.faults.append(f"anchor {number} is not signed by a trusted key")
        if not is_whole:
            self.faults.append(f"anchor {number} was signed over other heads")
        if anchor["previous"] != self.previous:
            self.faults.append(f"anchor {number} does not follow the one before it")
        if at < self.at:
            self.faults.append(f"anchor {number} is dated {at}, before the one before it ({self.at})")
        for engagement, sequence, hash_, *contents in named:
            self.heads.setdefault(engagement, []).append(Signed(sequence, hash_, number, *contents))
        self.number, self.previous, self.at = number, _digest(anchor), at
        return True


def anchored(lines: Iterable[str], trusted: Sequence[str]) -> tuple[Anchored, list[str]]:
    """The heads of anchors in order, and what is wrong with the anchors; `trusted` public keys in hex."""
    past = Past(trusted)
    past.read(lines)
    return past.heads, past.faults


def trail_faults(entries: Iterable[Link], heads: Sequence[Signed]) -> list[str]:
    """Where a chain's entries contradict the heads that were signed."""
    by_sequence = {entry.sequence: entry.hash for entry in entries}
    faults = []
    for sequence, hash_, number, _ in heads:
        found = by_sequence.get(sequence)
        if found is None:
            faults.append(f"entry {sequence} was signed in anchor {number} and is gone: the trail was cut off")
        elif found != hash_:
            faults.append(f"entry {sequence} is not what was signed in anchor {number}: the trail was written anew")
    return faults


def path(heads: Sequence[Head], wanted: Head) -> list[tuple[str, str]]:
    """How to get from one head to the root: the hashes beside it, each "left" or "right", in hex."""
    steps: list[tuple[str, str]] = []
    place = list(heads).index(wanted)
    for level in _levels(heads)[:-1]:
        beside = place ^ 1
        if beside < len(level):
            steps.append(("left" if beside < place else "right", level[beside].hex()))
        place //= 2
    return steps


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _head(engagement: str, sequence: int, hash_: str, *contents: Mapping[str, Any]) -> Head:
    """As it is signed. Raises `TypeError`."""
    if len(contents) > 1 or not all(isinstance(one, dict) for one in contents):
        raise TypeError("a head has three parts, or four")
    return (engagement, sequence, hash_, *contents)


def _levels(heads: Sequence[Head]) -> list[list[bytes]]:
    """The Merkle tree from its leaves to its root; one that has no partner moves up."""
    levels = [[hashlib.sha256(b"\x00" + canonical(list(head))).digest() for head in heads]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        pairs = [below[i : i + 2] for i in range(0, len(below), 2)]
        levels.append([hashlib.sha256(b"\x01" + b"".join(p)).digest() if len(p) == 2 else p[0] for p in pairs])
    return levels


def endorsed(key: Ed25519PrivateKey, value: Mapping[str, Any]) -> dict[str, Any]:
    """Any JSON object with the key and its signature beside it."""
    whole = {**value, "public_key": public_key_of(key)}
    return {**whole, "signature": key.sign(canonical(whole)).hex()}


def _is_signed(anchor: Mapping[str, Any], trusted: Sequence[str]) -> bool:
    key = anchor.get("public_key")
    if not isinstance(key, str) or key not in trusted:
        return False
    unsigned = {name: part for name, part in anchor.items() if name != "signature"}
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(
            bytes.fromhex(anchor["signature"]), canonical(unsigned)
        )
    except (InvalidSignature, KeyError, TypeError, ValueError):
        return False
    return True


def _digest(anchor: Any) -> str:
    return hashlib.sha256(canonical(anchor)).hexdigest()
