"""Signatures of webhooks: Standard Webhooks 1.0.0 (standard-webhooks/standard-webhooks, spec/standard-webhooks.md).

What is signed is `id.timestamp.body`, the body being the bytes as they were sent. `v1` is HMAC-SHA256 with a secret
that both sides know (`whsec_`), `v1a` is ed25519 with a private key (`whsk_`) whose public half (`whpk_`) the receiver
has. Several keys at once are how a key is rotated: a sender signs with each, a receiver takes any that has not expired.

Nothing here knows a clock or chance: the time and random bytes come from the caller. A secret shows in no `repr` and
in no message. Whatever is wrong with a header is a `HeaderError`, each kind a class of its own; a well-formed signature
that is not accepted is a `RefusedError`.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = [
    "ID_HEADER",
    "SIGNATURE_HEADER",
    "TIMESTAMP_HEADER",
    "TOLERANCE_S",
    "HeaderError",
    "IdError",
    "Key",
    "KeyTextError",
    "MissingHeaderError",
    "NoMatchError",
    "RefusedError",
    "RepeatedHeaderError",
    "SignatureHeaderError",
    "TimestampError",
    "TooNewError",
    "TooOldError",
    "Verified",
    "WebhookError",
    "key_pair",
    "read_key",
    "secret_text",
    "sign",
    "verify",
]

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
_HEADERS = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)

# How far the sender's clock may be from ours, either way: what the specification's libraries and Stripe allow.
TOLERANCE_S = 300
# A UUID has 36 characters; what is remembered for a week should not be as long as the sender likes.
MAX_ID_LENGTH = 256
# Rotation needs two. Each costs a comparison, an ed25519 one a tenth of a millisecond.
MAX_SIGNATURES = 16
# Sixteen ed25519 signatures and their versions.
MAX_SIGNATURE_LENGTH = 2_048
# The specification's bounds for an HMAC secret.
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
_ED25519_KEY_BYTES = 32

_id = re.compile(r"[!-\-/-~]+").fullmatch  # visible ASCII without the full stop that separates what is signed
_timestamp = re.compile(r"[0-9]{1,12}").fullmatch
_DIGEST_BYTES = {"v1": 32, "v1a": 64}


class WebhookError(ValueError):
    """Whatever keeps a webhook from being trusted; the message is fit for the sender."""


class KeyTextError(WebhookError):
    """A text that is no key; the message does not repeat it."""


class HeaderError(WebhookError):
    """A header that no sender of Standard Webhooks makes."""


class MissingHeaderError(HeaderError):
    """One of the three headers is missing or empty."""


class RepeatedHeaderError(HeaderError):
    """One of the three headers stands there twice: which of them was signed is anybody's guess."""


class IdError(HeaderError):
    """An id that is too long, holds a full stop, or is not made of visible ASCII."""


class TimestampError(HeaderError):
    """A timestamp that is not a whole number of seconds."""


class SignatureHeaderError(HeaderError):
    """A list of signatures with an entry that is none, or with too many."""


class RefusedError(WebhookError):
    """Well-formed, and not to be trusted."""


class TooOldError(RefusedError):
    """Signed longer ago than is tolerated: it may be a recording."""


class TooNewError(RefusedError):
    """Signed further in the future than is tolerated."""


class NoMatchError(RefusedError):
    """None of the signatures is by a key that is in force."""


@dataclass(frozen=True)
class Key:
    """A key by its scheme, `v1` or `v1a`. `expires_at_s`: from then on (Unix seconds) it verifies nothing; None: never.

    `material` is an HMAC secret, an ed25519 seed (`signs`), or an ed25519 public key (verifies only).
    """

    scheme: str
    material: bytes = field(repr=False)
    signs: bool = True
    expires_at_s: int | None = None

    def in_force(self, now_s: int) -> bool:
        """Whether the key verifies at that time."""
        return self.expires_at_s is None or now_s < self.expires_at_s


class Verified(NamedTuple):
    """What a verified webhook says of itself: its id, which makes a repetition known, and when it was signed."""

    message_id: str
    timestamp_s: int


def read_key(text: str, expires_at_s: int | None = None) -> Key:
    """The key in `whsec_...`, `whsk_...` (seed, or seed and public key) or `whpk_...`. Raises `KeyTextError`."""
    prefix, _, encoded = text.partition("_")
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:  # binascii.Error, or a character that is not ASCII
        raise KeyTextError(f"is no key: what follows {prefix[:8]}_ is not base64") from None
    if prefix == "whsec":
        if not MIN_SECRET_BYTES <= len(raw) <= MAX_SECRET_BYTES:
            raise KeyTextError(
                f"is a secret of {len(raw)} bytes; expected {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} random ones"
            )
        return Key("v1", raw, expires_at_s=expires_at_s)
    if prefix == "whpk":
        if len(raw) != _ED25519_KEY_BYTES:
            raise KeyTextError(f"is a public key of {len(raw)} bytes; expected {_ED25519_KEY_BYTES}")
        return Key("v1a", raw, signs=False, expires_at_s=expires_at_s)
    if prefix == "whsk":
        seed, public = raw[:_ED25519_KEY_BYTES], raw[_ED25519_KEY_BYTES:]
        if len(seed) != _ED25519_KEY_BYTES or public not in (b"", _public(seed)):
            raise KeyTextError("is no ed25519 key; expected the 32 bytes of a seed, with or without its public key")
        return Key("v1a", seed, expires_at_s=expires_at_s)
    raise KeyTextError("is no key; expected whsec_..., whsk_... or whpk_...")


def secret_text(random_bytes: bytes) -> str:
    """An HMAC secret made of 24 to 64 random bytes, as `whsec_...`. Raises `KeyTextError` for fewer or more."""
    text = "whsec_" + base64.b64encode(random_bytes).decode()
    read_key(text)
    return text


def key_pair(seed: bytes) -> tuple[str, str]:
    """The private and the public key (`whsk_...`, `whpk_...`) that follow from 32 random bytes.

    Raises `KeyTextError` for another number of bytes.
    """
    if len(seed) != _ED25519_KEY_BYTES:
        raise KeyTextError(f"is a seed of {len(seed)} bytes; expected {_ED25519_KEY_BYTES} random ones")
    public = _public(seed)
    return "whsk_" + base64.b64encode(seed + public).decode(), "whpk_" + base64.b64encode(public).decode()


def sign(keys: Sequence[Key], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers for these bytes, signed by every key, in their order.

    Raises `IdError` for an id that no receiver would take, `KeyTextError` without a key or with one that cannot sign.
    """
    _check_id(message_id)
    if not keys or not all(key.signs for key in keys):
        raise KeyTextError("signing needs a secret (whsec_...) or a private key (whsk_...)")
    content = _content(message_id, str(timestamp_s), body)
    signatures = (f"{key.scheme},{base64.b64encode(_signature(key, content)).decode()}" for key in keys)
    return {ID_HEADER: message_id, TIMESTAMP_HEADER: str(timestamp_s), SIGNATURE_HEADER: " ".join(signatures)}


def verify(
    keys: Iterable[Key],
    headers: Iterable[tuple[str, str]],
    body: bytes,
    now_s: int,
    tolerance_s: int = TOLERANCE_S,
) -> Verified:
    """The id and the time of a webhook whose signature is good.

    `headers` are all of the request's as pairs, so that a repeated one is seen; names in any case. `body` are the bytes
    as they arrived. Raises `HeaderError` for what is malformed, `RefusedError` for what is not to be trusted.
    """
    message_id, timestamp, signatures = _read(headers)
    _check_id(message_id)
    if _timestamp(timestamp) is None:
        raise TimestampError(f"{TIMESTAMP_HEADER} is not a whole number of seconds since 1970")
    offered = _offered(signatures)
    if int(timestamp) < now_s - tolerance_s:
        raise TooOldError(f"signed more than {tolerance_s} s ago")
    if int(timestamp) > now_s + tolerance_s:
        raise TooNewError(f"signed more than {tolerance_s} s in the future")
    content = _content(message_id, timestamp, body)
    # Every key is tried on every signature, whatever the first gave: the time it takes does not say which matched.
    matches = [_matches(key, content, offered) for key in keys if key.in_force(now_s)]
    if not any(matches):
        raise NoMatchError(f"no signature in {SIGNATURE_HEADER} is by a key in force for these bytes")
    return Verified(message_id, int(timestamp))


def _read(headers: Iterable[tuple[str, str]]) -> tuple[str, str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        if name in _HEADERS:
            if name in found:
                raise RepeatedHeaderError(f"{name} stands there more than once")
            found[name] = value
    for name in _HEADERS:
        if not found.get(name):
            raise MissingHeaderError(f"{name} is missing")
    return found[ID_HEADER], found[TIMESTAMP_HEADER], found[SIGNATURE_HEADER]


def _check_id(message_id: str) -> None:
    if len(message_id) > MAX_ID_LENGTH or _id(message_id) is None:
        raise IdError(f"{ID_HEADER} is not 1 to {MAX_ID_LENGTH} visible ASCII characters without a full stop")


def _offered(header: str) -> list[tuple[str, bytes]]:
    """The signatures of the schemes known here; others are passed over, as the specification has it."""
    entries = header.split(" ") if len(header) <= MAX_SIGNATURE_LENGTH else []
    if not 0 < len(entries) <= MAX_SIGNATURES:
        raise SignatureHeaderError(
            f"{SIGNATURE_HEADER} has more than {MAX_SIGNATURES} signatures or {MAX_SIGNATURE_LENGTH} characters"
        )
    offered = []
    for entry in entries:
        scheme, comma, encoded = entry.partition(",")
        if not (scheme and comma and encoded):
            raise SignatureHeaderError(f"{SIGNATURE_HEADER} has an entry that is not VERSION,SIGNATURE")
        size_bytes = _DIGEST_BYTES.get(scheme)
        if size_bytes is None:
            continue
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise SignatureHeaderError(f"{SIGNATURE_HEADER} has a {scheme} signature that is not base64") from None
        if len(raw) != size_bytes:
            raise SignatureHeaderError(f"{SIGNATURE_HEADER} has a {scheme} signature that is not {size_bytes} bytes")
        offered.append((scheme, raw))
    return offered


def _content(message_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode() + body


def _matches(key: Key, content: bytes, offered: list[tuple[str, bytes]]) -> bool:
    signatures = [raw for scheme, raw in offered if scheme == key.scheme]
    if key.scheme == "v1":
        expected = _signature(key, content)
        return any([hmac.compare_digest(expected, raw) for raw in signatures])  # noqa: C419 - all of them, always
    public = Ed25519PublicKey.from_public_bytes(_public(key.material) if key.signs else key.material)
    return any([_is_by(public, raw, content) for raw in signatures])  # noqa: C419 - all of them, always


def _is_by(public: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        public.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _signature(key: Key, content: bytes) -> bytes:
    if key.scheme == "v1":
        return hmac.digest(key.material, content, "sha256")
    return Ed25519PrivateKey.from_private_bytes(key.material).sign(content)


def _public(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
