"""Where calls may go: judged by the URL before anything is looked up, and by the address before anything is connected.

A URL must say one thing to every reader: printable ASCII, https, no user, no fragment, a host that is either a plain
DNS name or an address in its one canonical spelling. `0x7f000001`, `2130706433`, `127.1` and `localhost.` are refused
as spellings, wherever they would lead.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Self

from yarl import URL

from milepost.outbound.addresses import Address, refusal
from milepost.settings import Settings

__all__ = ["Destinations", "RefusedError", "Target"]

URL_LIMIT = 2_000
_printable = re.compile(r"[!-~]+").fullmatch
_label = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_name = re.compile(rf"(?=.{{1,253}}$){_label}(?:\.{_label})*").fullmatch
# A browser, and many a resolver, reads a host that ends like this as an address.
_ends_in_number = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)").fullmatch


class RefusedError(Exception):
    """A destination that calls may not go to; the message says why and which setting would let them."""


@dataclass(frozen=True)
class Target:
    """A destination that may be called. `admitted`: wherever its name leads, because the operator named it."""

    url: URL
    host: str
    port: int
    admitted: bool


@dataclass(frozen=True)
class Destinations:
    """What the operator lets calls go to.

    `admitted`: hosts (HOST or HOST:PORT) that may be private and may speak plain http. `only`: if not empty, calls go
    to these hosts alone (patterns like `*.example.org`), and to admitted ones.
    """

    admitted: frozenset[str] = frozenset()
    only: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings have it."""
        return cls(frozenset(_listed(settings.outbound_admitted_hosts)), tuple(_listed(settings.outbound_only_hosts)))

    def target(self, text: str) -> Target:
        """The destination that a URL names. Raises `RefusedError`; looks nothing up and connects to nothing."""
        if len(text) > URL_LIMIT or not _printable(text) or "\\" in text:
            raise RefusedError(f"a URL is at most {URL_LIMIT} characters of printable ASCII, without backslashes")
        try:
            url = URL(text, encoded=True)  # what is sent is what was written
            host, port = (url.raw_host or "").lower(), url.port
        except ValueError as error:
            raise RefusedError(f"not a URL: {error}") from None
        if url.scheme not in ("https", "http") or not host or port is None:
            raise RefusedError(f"not an https URL; found the scheme {url.scheme[:16]!r}")
        if port == 0:
            raise RefusedError("nothing listens on port 0; write the port that is meant, or none")
        if url.raw_user is not None or url.raw_password is not None or "@" in url.raw_authority:
            raise RefusedError("a URL must not carry a user or a password; others would read them in logs")
        if url.raw_fragment or "#" in text:
            raise RefusedError("a URL to be called has no fragment")
        self._check_spelling(text, host)
        admitted = bool({host, f"{host}:{port}", f"[{host}]:{port}"} & self.admitted)
        if not admitted:
            self._check_public(url, host, port)
        return Target(url, host, port, admitted)

    def check_address(self, target: Target, address: str) -> None:
        """Raises `RefusedError` for an address that the target's name must not lead to."""
        if target.admitted:
            return
        try:
            why = refusal(address)
        except ValueError:
            why = "no address"
        if why is not None:
            raise RefusedError(
                f"{target.host} leads to {address}, which is {why}; {_way_out(target.host, target.port)}"
            )

    def _check_spelling(self, text: str, host: str) -> None:
        literal = _literal(host)
        if literal is None:
            if _name(host) is None or _ends_in_number(host):
                raise RefusedError(f"{host[:80]!r} is neither a DNS name nor an address in its usual spelling")
            spelt = host
        else:
            spelt = f"[{literal}]" if literal.version == 6 else str(literal)
        # The parser may have tidied the host up: what was written must be what is meant.
        rest = text.partition("://")[2]
        if not rest.lower().startswith(spelt) or rest[len(spelt) : len(spelt) + 1] not in {"", ":", "/", "?"}:
            raise RefusedError(f"the host is written in an unusual way; write {spelt}")

    def _check_public(self, url: URL, host: str, port: int) -> None:
        if url.scheme != "https":
            raise RefusedError(f"not https; {_way_out(host, port)}")
        if self.only and not any(fnmatchcase(host, pattern) for pattern in self.only):
            raise RefusedError(f"{host} is not among MILEPOST_OUTBOUND_ONLY_HOSTS ({', '.join(self.only)})")
        literal = _literal(host)
        why = refusal(literal) if literal is not None else None if "." in host else "a name without a domain"
        if why is not None:
            raise RefusedError(f"{host} is {why}; {_way_out(host, port)}")


def _literal(host: str) -> Address | None:
    for kind in (IPv4Address, IPv6Address):
        try:
            address: Address = kind(host)
        except AddressValueError:
            continue
        return address
    return None


def _listed(hosts: str) -> list[str]:
    return [host.strip().lower() for host in hosts.split(",") if host.strip()]


def _way_out(host: str, port: int) -> str:
    named = f"[{host}]" if ":" in host else host
    return f"to let calls go there, add {named}:{port} to MILEPOST_OUTBOUND_ADMITTED_HOSTS"
