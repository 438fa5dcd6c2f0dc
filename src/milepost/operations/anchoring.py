"""Signs the audit trails' heads and puts them where the database's administrator has no say: a topic and a file.

The database numbers them, so that several may run; topic and file follow it, also after a crash in between.
"""

import os
from collections.abc import Callable, Mapping, Sequence, Set
from itertools import chain as chained
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from milepost.audit import anchors as signing
from milepost.audit import chain, contents
from milepost.audit.anchors import OPERATORS, Past
from milepost.codec.registry import installed
from milepost.codec.wire import SCHEMA_GUID_HEADER, Outgoing, header
from milepost.core.calendar import instant_text
from milepost.core.ids import digest
from milepost.core.outputs import AuditEntry
from milepost.kafka.publishing import Publisher
from milepost.kafka.scanning import Place, Scan
from milepost.settings import Settings
from milepost.sql import actions
from milepost.sql import anchors as storing
from milepost.sql.anchors import Draft, Head
from milepost.sql.engine import Engine

__all__ = ["HEADS_MOST", "TOPIC", "AnchorError", "Signer", "anchor", "compare_published", "hashes_of", "trusted_keys"]

TOPIC = "audit-anchors"
# An anchor stays below a record's limit: a head has some 700 characters at most.
HEADS_MOST = 1_000
_FAULTS_SHOWN = 3

Hashes = Callable[[Mapping[Place, Set[int]]], Mapping[tuple[Place, int], str]]


class AnchorError(Exception):
    """Signing would make a false statement; the message says why."""


class Signer:
    """Signs with a key what continues that which was signed before, and nothing else.

    `hashes` gives those of input records (`contents.event_hash`) by place and offset; what is not there is left out.
    `past` is what it has read of the anchors; one that is kept finds out who changes them in the database meanwhile.
    """

    def __init__(self, engine: Engine, key: Ed25519PrivateKey, hashes: Hashes, past: Past | None = None) -> None:
        self.engine, self._key, self._hashes = engine, key, hashes
        self._past = past or Past([signing.public_key_of(key)])

    def sign(self, at: int) -> int:
        """Sign what is new at the instant `at`; how many anchors it took. Raises `AnchorError`, `UnavailableError`."""
        count = 0
        while True:
            self._catch_up()
            draft = storing.pending(self.engine, HEADS_MOST)
            if draft is None:
                return count
            if draft.number > self._past.number + 1:  # somebody else signed meanwhile
                continue
            if draft.number <= self._past.number or not self._past.ends_with(draft.before):
                _refuse("the anchors in the database", [f"anchor {self._past.number} is gone or was changed"])
            now = instant_text(at)
            if self._past.at > now:
                last, when = self._past.number, self._past.at
                raise AnchorError(f"the clock says {now}, but anchor {last} was signed at {when}; set it right first")
            count += storing.add(self.engine, at, draft, self._body(draft, now))

    def _catch_up(self) -> None:
        past = self._past
        past.read(storing.bodies(self.engine, past.number))
        for name, signed in past.heads.items():
            past.heads[name] = signed[-1:]  # what an older one says was compared when the newer one was signed
        _refuse("the anchors in the database", past.faults)

    def _body(self, draft: Draft, now: str) -> str:
        new = {head.engagement_id: self._new(head) for head in draft.heads}
        wanted: dict[Place, set[int]] = {}
        for entry in chained(*new.values()):
            if (place := _input(entry)) is not None:
                wanted.setdefault(place[0], set()).add(place[1])
        hashes = self._hashes(wanted) if wanted else {}
        heads = [self._signable(head, new[head.engagement_id], hashes) for head in draft.heads]
        schemas = {str(schema.id): digest(schema.definition) for schema in installed().all()}
        return signing.signed(self._key, draft.number, draft.before, now, heads, schemas)

    def _new(self, head: Head) -> list[AuditEntry]:
        """What came since the contents were signed last, of a sound chain that goes on from the head signed last."""
        name, before = head.engagement_id, self._past.heads.get(head.engagement_id, [])
        if name == OPERATORS:
            done = actions.of(self.engine)
            _refuse("what operators did", [*actions.faults(done), *signing.trail_faults(done, before)])
            return []
        first, previous = (before[0].sequence, before[0].hash) if _with_contents(before) else (0, signing.GENESIS)
        there = storing.entries(self.engine, name, first, head.sequence)
        new = [entry for entry in there if entry.sequence > first]
        report = chain.verify(name, new, previous, first)
        faults = [*signing.trail_faults(there, before), *report.faults]
        if not faults and report.head != head.hash:
            faults.append(f"entry {head.sequence} is not the last one")
        _refuse(name, faults)
        return new

    def _signable(self, head: Head, new: list[AuditEntry], hashes: Mapping[tuple[Place, int], str]) -> signing.Head:
        if head.engagement_id == OPERATORS:
            return tuple(head)
        before = self._past.heads.get(head.engagement_id, [])
        known = before[0].contents if before else None
        skip = {topic: (known or {}).get(topic, (0,))[0] for topic in contents.TOPICS}
        bodies = storing.body_hashes(self.engine, head.engagement_id, skip)
        events = [hashes.get(place, contents.GONE) for entry in new if (place := _input(entry)) is not None]
        return (*head, contents.grown(before[0].number if before else 0, known, events, bodies))


def compare_published(settings: Settings, engine: Engine) -> None:
    """That the database has every anchor of the topic: who removes them there could have a forged trail signed.

    Raises `AnchorError`, `ScanError`, `UnavailableError`.
    """
    place = Place(TOPIC, 0)
    with Scan(settings, [place]) as scan:
        told = {(record.value or b"").decode("utf-8", "replace") for record in scan.all(place)}
    if strange := told - set(storing.bodies(engine)):
        raise AnchorError(
            f"nothing was signed; {settings.topic(TOPIC)} holds {len(strange)} anchors that the database does not: one "
            "of the two was changed; keep both"
        )


def trusted_keys(settings: Settings) -> list[str]:
    """The public keys, in hex, whose anchors are believed (MILEPOST_ANCHOR_TRUSTED_KEYS)."""
    return [key.strip() for key in settings.anchor_trusted_keys.split(",") if key.strip()]


def hashes_of(settings: Settings) -> Hashes:
    """Those of input records as they are on the topics; it raises `ScanError`."""

    def hashes(wanted: Mapping[Place, Set[int]]) -> dict[tuple[Place, int], str]:
        found = {}
        with Scan(settings, wanted, starts={place: min(offsets) for place, offsets in wanted.items()}) as scan:
            for place, offsets in wanted.items():
                for record in scan.until(place, max(offsets) + 1):
                    if record.offset in offsets:
                        named = header(record.headers, SCHEMA_GUID_HEADER) or b""
                        found[place, record.offset] = contents.event_hash(record.value or b"", named)
        return found

    return hashes


def _with_contents(before: Sequence[signing.Signed]) -> bool:
    return bool(before) and before[0].contents is not None


def _input(entry: AuditEntry) -> tuple[Place, int] | None:
    if entry.input_topic is None or entry.input_partition is None or entry.input_offset is None:
        return None
    return Place(entry.input_topic, entry.input_partition), entry.input_offset


def anchor(signer: Signer, publisher: Publisher | None, file: Path | None, at: int) -> int:
    """Sign what is new at the instant `at` and publish what is not yet; how many anchors were signed.

    Raises `AnchorError`, `UnavailableError`, `ScanError`, `PublishError`, `OSError`.
    """
    engine = signer.engine
    if file is not None:
        _follow(file, storing.bodies(engine))  # before anything is signed: the file may know better than the database
    count = signer.sign(at)
    if publisher is not None:
        for stored in storing.unpublished(engine):
            publisher.resend(Outgoing(TOPIC, None, stored.body.encode(), []), 0)
            publisher.flush()
            storing.published(engine, stored.number, at)
    if file is not None and count:
        _follow(file, storing.bodies(engine))
    return count


def _refuse(what: str, faults: Sequence[str]) -> None:
    if faults:
        more = f" (and {len(faults) - _FAULTS_SHOWN} more)" if len(faults) > _FAULTS_SHOWN else ""
        raise AnchorError(f"nothing was signed; {what}: {'; '.join(faults[:_FAULTS_SHOWN])}{more}")


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
