"""The token of a link: what the database alone, or the secret alone, cannot make.

A token is base64url of the link's id (16 bytes) and an HMAC-SHA256 (32 bytes), keyed by the secret, over the link's id,
its scope and 256 random bits that only the database has. So a copy of the database gives no working link, the secret by
itself gives none, and a row whose scope somebody changed opens nothing. The same row gives the same token again:
whoever sends a request twice sends the same link twice.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from milepost.core.ids import canonical_json
from milepost.settings import Settings

__all__ = ["APPROVAL", "TOKEN_LENGTH", "TRIGGER", "LinkKeys", "LinkSecretError", "Token", "parse"]

_ID_BYTES, _MAC_BYTES = 16, 32
TOKEN_LENGTH = 64
# Say what is signed, so that a link of one kind is never taken for one of another.
APPROVAL = b"milepost approval link 1\n"
TRIGGER = b"milepost trigger url 1\n"


class LinkSecretError(Exception):
    """There is no secret to sign links with; the message names the setting and the way out."""


class Token(NamedTuple):
    """A token taken apart; nothing is verified yet."""

    link_id: str  # 32 hex digits
    mac: bytes


class LinkKeys:
    """The secrets that links are signed with, newest first: the first signs, all of them verify."""

    def __init__(self, secrets: Sequence[str], purpose: bytes = APPROVAL) -> None:
        """At least one secret. Raises `LinkSecretError` for none."""
        if not secrets:
            raise LinkSecretError(
                "MILEPOST_LINK_SECRET is not set, so that no link can be signed; set it to 32 random "
                "characters or more, the same for the gateway and for notices"
            )
        self._purpose = purpose
        self._keys = {sha256(purpose + secret.encode()).hexdigest()[:16]: secret.encode() for secret in secrets}
        self.current = next(iter(self._keys))

    @classmethod
    def of(cls, settings: Settings, purpose: bytes = APPROVAL) -> "LinkKeys":
        """From the settings. Raises `LinkSecretError` when `link_secret` is not set."""
        given = settings.link_secret.get_secret_value().split(",")
        return cls([secret.strip() for secret in given if secret.strip()], purpose)

    def __contains__(self, key_id: object) -> bool:
        """Whether links signed with that key still open."""
        return key_id in self._keys

    def token(self, key_id: str, link_id: str, nonce: str, scope: Sequence[str | int | None]) -> str:
        """The token of a link. KeyError for a key that was retired."""
        mac = self._mac(key_id, link_id, nonce, scope)
        return urlsafe_b64encode(bytes.fromhex(link_id) + mac).decode("ascii")

    def verifies(self, token: Token, key_id: str, nonce: str, scope: Sequence[str | int | None]) -> bool:
        """Whether the token was made for exactly this link; takes the same time for every wrong one."""
        return key_id in self._keys and hmac.compare_digest(token.mac, self._mac(key_id, token.link_id, nonce, scope))

    def _mac(self, key_id: str, link_id: str, nonce: str, scope: Sequence[str | int | None]) -> bytes:
        signed = self._purpose + canonical_json([link_id, nonce, *scope])
        return hmac.digest(self._keys[key_id], signed, "sha256")


def parse(text: str) -> Token | None:
    """The parts of a token, or None for what is none: another length, another alphabet."""
    if len(text) != TOKEN_LENGTH or not text.isascii():
        return None
    try:
        raw = urlsafe_b64decode(text)
    except (NotBase64, ValueError):
        return None
    # What does not come out the same has stray characters, which the decoder passes over.
    if len(raw) != _ID_BYTES + _MAC_BYTES or urlsafe_b64encode(raw).decode("ascii") != text:
        return None
    return Token(raw[:_ID_BYTES].hex(), raw[_ID_BYTES:])
