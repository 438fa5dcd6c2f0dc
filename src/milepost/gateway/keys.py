"""API keys as text: `mp_<id>_<random><checksum>`. The random part has 256 bits; what is stored is a SHA-256.

The prefix and the checksum are for scanners of leaked secrets: what looks like a key and has the right checksum is one.
A key identifies a program, or one person's programs, never who sits before them.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from typing import NamedTuple

__all__ = ["PATTERN", "Secret", "fits", "new_secret", "parse", "sha256_of"]

_ALPHABET = string.digits + string.ascii_letters
_ID_LENGTH = 12
# 62 ** 43 is more than 2 ** 256, 62 ** 6 more than 2 ** 32.
_RANDOM_LENGTH = 43
_CHECKSUM_LENGTH = 6

PATTERN = re.compile(
    f"mp_([0-9a-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_RANDOM_LENGTH}}})([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})"
)
"""What a key looks like, anywhere in a text."""


class Secret(NamedTuple):
    """A new key: its public id, and the whole of it, which is shown once."""

    key_id: str
    text: str


def new_secret() -> Secret:
    """A key that nobody has."""
    key_id = "".join(secrets.choice(string.digits + string.ascii_lowercase) for _ in range(_ID_LENGTH))
    body = f"mp_{key_id}_{_base62(secrets.randbits(256), _RANDOM_LENGTH)}"
    return Secret(key_id, body + _checksum(body))


def parse(text: str) -> str | None:
    """The id in a key, or None for what is no key or was misspelt."""
    found = PATTERN.fullmatch(text)
    if found is None or _checksum(text[:-_CHECKSUM_LENGTH]) != found[3]:
        return None
    return found[1]


def sha256_of(text: str) -> str:
    """What is stored of a key. It is random enough that no slow hash is needed."""
    return hashlib.sha256(text.encode()).hexdigest()


def fits(text: str, secret_sha256: str) -> bool:
    """Whether a key is the one with that hash, in a time that tells nothing."""
    return hmac.compare_digest(sha256_of(text), secret_sha256)


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
