"""The secrets that webhooks are signed with. None is stored: each follows from the operator's secret and random bits.

The database has the bits, the setting has the secret, and neither alone signs anything. Several secrets in the setting
are how the operator's own is changed: endpoints keep signing with the one they were made with.
"""

import hmac
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Self

from milepost.codec.standard_webhooks import Key, key_pair, read_key, secret_text
from milepost.settings import Settings
from milepost.sql.endpoints import Endpoint, SigningKey

__all__ = ["SCHEMES", "EndpointSecretError", "EndpointSecrets"]

SCHEMES = ("v1", "v1a")
"""HMAC-SHA256 with a secret that both sides know; ed25519, of which the receiver gets the public key alone."""

_PURPOSE = b"milepost endpoint secret 1\n"


class EndpointSecretError(Exception):
    """A signing secret cannot be made; the message names the setting and the way out."""


class EndpointSecrets:
    """Makes the signing secrets of endpoints."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """`secrets`: the operator's, newest first."""
        self._secrets = {sha256(_PURPOSE + secret.encode()).hexdigest()[:16]: secret.encode() for secret in secrets}

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """From the settings; without a secret there, no signing secret can be made."""
        listed = settings.endpoint_secret.get_secret_value().split(",")
        return cls([secret.strip() for secret in listed if secret.strip()])

    def new_key(self, scheme: str, now: int, random_bytes: Callable[[int], bytes]) -> SigningKey:
        """A new signing key by the newest secret. Raises `EndpointSecretError` where there is none."""
        if not self._secrets:
            raise EndpointSecretError(
                "MILEPOST_ENDPOINT_SECRET is not set, so that no webhook can be signed; set it to 32 random characters "
                "or more, the same for the command line and for notices"
            )
        return SigningKey(scheme, next(iter(self._secrets)), random_bytes(32).hex(), now)

    def text(self, endpoint_id: str, key: SigningKey) -> str:
        """What the receiver verifies with: `whsec_...`, or `whpk_...` for v1a. Raises `EndpointSecretError`."""
        derived = self._derived(endpoint_id, key)
        return secret_text(derived) if key.scheme == "v1" else key_pair(derived)[1]

    def keys(self, endpoint: Endpoint, now: int) -> list[Key]:
        """What to sign with now, newest first. Raises `EndpointSecretError` where any of it cannot be made."""
        in_force = [key for key in endpoint.signing_keys if key.expires_at is None or now < key.expires_at]
        return [self._key(endpoint.endpoint_id, key) for key in in_force]

    def _key(self, endpoint_id: str, key: SigningKey) -> Key:
        derived = self._derived(endpoint_id, key)
        return read_key(secret_text(derived) if key.scheme == "v1" else key_pair(derived)[0])

    def _derived(self, endpoint_id: str, key: SigningKey) -> bytes:
        secret = self._secrets.get(key.key_id)
        if secret is None:
            raise EndpointSecretError(
                f"the secret of endpoint {endpoint_id} was made with a MILEPOST_ENDPOINT_SECRET that is not set any "
                "more; put that one behind the new one, with a comma, or rotate: milepost notices endpoints rotate"
            )
        return hmac.digest(secret, _PURPOSE + f"{endpoint_id}\n{key.scheme}\n{key.nonce}".encode(), "sha256")
