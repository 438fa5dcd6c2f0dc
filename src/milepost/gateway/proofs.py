"""How a sender proves who it is: a signature over the bytes it sent, or a secret that comes with them.

    standard-webhooks   `webhook-id`, `-timestamp`, `-signature`; HMAC-SHA256 or ed25519; replays are noticed
    github              `x-hub-signature-256: sha256=HEX`; no time is signed
    stripe              `stripe-signature: t=SECONDS,v1=HEX`
    bearer              `authorization: Bearer SECRET`; for senders that cannot sign, such as Alertmanager
    basic               `authorization: Basic ...`, the secret being USER:PASSWORD

Where only a secret comes along, whoever sees one request can send others: such a sender belongs behind TLS, in the same
network. What is repeated has the same event ids and changes nothing, whichever proof.

Every comparison is `hmac.compare_digest`, against every secret in force.
"""

import base64
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from milepost.codec import standard_webhooks
from milepost.codec.standard_webhooks import (
    MissingHeaderError,
    NoMatchError,
    RepeatedHeaderError,
    SignatureHeaderError,
    TimestampError,
    TooNewError,
    TooOldError,
)

__all__ = ["PROOFS", "Proof", "Request", "SecretTextError", "check_secret", "new_secret"]

TOLERANCE_S = standard_webhooks.TOLERANCE_S
# What a sender makes up itself; ours have 256 bits.
MIN_SECRET_LENGTH, MAX_SECRET_LENGTH = 16, 512
_MAX_HEADER_LENGTH = 2_048
_MAX_SIGNATURES = standard_webhooks.MAX_SIGNATURES

_hex = re.compile(r"[0-9a-f]{64}").fullmatch
_seconds = re.compile(r"[0-9]{1,12}").fullmatch
_printable = re.compile(r"[!-~]+").fullmatch


class SecretTextError(ValueError):
    """A text that cannot be the secret of a proof; the message does not repeat it."""


class Request(NamedTuple):
    """What is to be proven: all headers as pairs, the bytes of the body as they came."""

    headers: Iterable[tuple[str, str]]
    body: bytes


class Proof(NamedTuple):
    """`verify(secrets, request, now_s)` gives the id that the sender signed, None where it signs none.

    It raises `WebhookError`. `generated`: the secret is ours to make; else it comes from the sender.
    """

    verify: Callable[[Sequence[str], Request, int], str | None]
    generated: bool


def new_secret(proof: str, endpoint_id: str) -> str:
    """A secret for an endpoint, from 256 random bits."""
    if proof == "standard-webhooks":
        return standard_webhooks.secret_text(secrets.token_bytes(32))
    password = secrets.token_urlsafe(32)
    return f"{endpoint_id}:{password}" if proof == "basic" else password


def check_secret(proof: str, text: str) -> None:
    """Raises `SecretTextError` for a text that cannot be a secret of that proof."""
    if proof == "standard-webhooks":
        try:
            standard_webhooks.read_key(text)
        except standard_webhooks.KeyTextError as error:
            raise SecretTextError(str(error)) from None
        return
    password = text.partition(":")[2] if proof == "basic" else text
    if not MIN_SECRET_LENGTH <= len(password) <= MAX_SECRET_LENGTH or _printable(text) is None:
        raise SecretTextError(
            f"is no secret; expected {MIN_SECRET_LENGTH} to {MAX_SECRET_LENGTH} visible ASCII characters"
            + (" after USER:" if proof == "basic" else "")
        )


def _standard(texts: Sequence[str], request: Request, now_s: int) -> str:
    keys = [standard_webhooks.read_key(text) for text in texts]
    return standard_webhooks.verify(keys, request.headers, request.body, now_s, TOLERANCE_S).message_id


def _github(texts: Sequence[str], request: Request, now_s: int) -> None:
    scheme, _, signature = _header(request, "x-hub-signature-256").partition("=")
    if scheme != "sha256" or _hex(signature) is None:
        raise SignatureHeaderError("x-hub-signature-256 is not sha256= and 64 hexadecimal digits")
    _one_of([_hexdigest(text, request.body) for text in texts], [signature], "x-hub-signature-256")


def _stripe(texts: Sequence[str], request: Request, now_s: int) -> None:
    parts = [part.partition("=") for part in _header(request, "stripe-signature").split(",")]
    if not 0 < len(parts) <= _MAX_SIGNATURES or not all(name and value for name, _, value in parts):
        raise SignatureHeaderError("stripe-signature is not a list of NAME=VALUE, the time and signatures")
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or _seconds(times[0]) is None:
        raise TimestampError("stripe-signature has no time in seconds, t=..., or several")
    signatures = [value for name, _, value in parts if name == "v1"]
    if not all(map(_hex, signatures)):
        raise SignatureHeaderError("stripe-signature has a v1 signature that is not 64 hexadecimal digits")
    if int(times[0]) < now_s - TOLERANCE_S:
        raise TooOldError(f"signed more than {TOLERANCE_S} s ago")
    if int(times[0]) > now_s + TOLERANCE_S:
        raise TooNewError(f"signed more than {TOLERANCE_S} s in the future")
    signed = times[0].encode() + b"." + request.body
    _one_of([_hexdigest(text, signed) for text in texts], signatures, "stripe-signature")


def _bearer(texts: Sequence[str], request: Request, now_s: int) -> None:
    scheme, _, token = _header(request, "authorization").partition(" ")
    if scheme.lower() != "bearer" or _printable(token) is None:
        raise SignatureHeaderError("authorization is not Bearer and a secret")
    _one_of(texts, [token], "authorization")


def _basic(texts: Sequence[str], request: Request, now_s: int) -> None:
    scheme, _, encoded = _header(request, "authorization").partition(" ")
    try:
        pair = base64.b64decode(encoded, validate=True).decode("ascii") if scheme.lower() == "basic" else ""
    except ValueError:
        pair = ""
    if ":" not in pair:
        raise SignatureHeaderError("authorization is not Basic and USER:PASSWORD in base64")
    _one_of(texts, [pair], "authorization")


def _header(request: Request, name: str) -> str:
    found = [value for header, value in request.headers if header.lower() == name]
    if not found or not found[0]:
        raise MissingHeaderError(f"{name} is missing")
    if len(found) > 1:
        raise RepeatedHeaderError(f"{name} stands there more than once")
    if len(found[0]) > _MAX_HEADER_LENGTH or not found[0].isascii():
        raise SignatureHeaderError(f"{name} is longer than {_MAX_HEADER_LENGTH} characters or not ASCII")
    return found[0]


def _hexdigest(secret: str, signed: bytes) -> str:
    return hmac.digest(secret.encode(), signed, "sha256").hex()


def _one_of(expected: Sequence[str], offered: Sequence[str], name: str) -> None:
    matches = [hmac.compare_digest(one.encode(), other.encode()) for one in expected for other in offered]
    if not any(matches):
        raise NoMatchError(f"{name} is not by a secret in force for these bytes")


PROOFS: dict[str, Proof] = {
    "standard-webhooks": Proof(_standard, generated=True),
    "github": Proof(_github, generated=True),
    "stripe": Proof(_stripe, generated=False),
    "bearer": Proof(_bearer, generated=True),
    "basic": Proof(_basic, generated=True),
}
"""By the name that an endpoint says."""
