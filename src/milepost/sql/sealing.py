"""Secrets that must be read again: encrypted in the database, with a key that the database does not have.

An API key is stored as its hash; a webhook's HMAC secret cannot be, because verifying needs the secret itself. It is
sealed (Fernet: AES-128-CBC and HMAC-SHA256, from `cryptography`) with a key derived from `MILEPOST_LINK_SECRET`: a copy
of the database forges no webhook. Of several link secrets the newest seals and all of them open, so that the setting
can be rotated; `current` says whether a sealed text would still open without the older ones.
"""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from milepost.settings import Settings

__all__ = ["Seal", "SealError"]

# The same setting signs links; a key for one purpose is none for another.
_PURPOSE = b"milepost sealed secret 1\n"


class SealError(Exception):
    """A secret cannot be sealed or opened; the message names the setting and the way out."""


class Seal:
    """Seals with the newest of some secrets, opens with any of them."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """At least one secret. Raises `SealError` for none."""
        if not secrets:
            raise SealError(
                "MILEPOST_LINK_SECRET is not set, so that no secret can be stored; set it to 32 random characters or "
                "more, the same for everything that uses this database"
            )
        keys = [Fernet(urlsafe_b64encode(sha256(_PURPOSE + secret.encode()).digest())) for secret in secrets]
        self._newest, self._any = keys[0], MultiFernet(keys)

    @classmethod
    def of(cls, settings: Settings) -> "Seal":
        """From the settings. Raises `SealError` when `link_secret` is not set."""
        return cls([secret.strip() for secret in settings.link_secret.get_secret_value().split(",") if secret.strip()])

    def seal(self, text: str) -> str:
        """The text, for the database."""
        return self._newest.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """What was sealed. Raises `SealError` for what none of the secrets opens."""
        try:
            return self._any.decrypt(sealed).decode()
        except InvalidToken:
            raise SealError(
                "a stored secret was sealed with a MILEPOST_LINK_SECRET that is not set any more; add it again (after "
                "the new one, with a comma), or give the endpoint another secret with `milepost webhooks rotate`"
            ) from None

    def current(self, sealed: str) -> bool:
        """Whether the newest secret opens it."""
        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            return False
        return True
