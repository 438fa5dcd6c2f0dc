"""One call: a destination that is judged, an address that is looked up once and pinned, a bounded answer, a time limit.

The address that is judged is the one that is connected to: the client asks our resolver, once a connection, and keeps
nothing. Redirects are answers like any other and are not followed; proxies of the environment are not used; cookies
are not kept; a compressed answer stays compressed, so that its size is its size.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from socket import AF_INET, AF_INET6, AF_UNSPEC, AI_NUMERICHOST, SOCK_STREAM, AddressFamily, gaierror
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from milepost.outbound.destinations import Destinations, RefusedError, Target
from milepost.settings import Settings

__all__ = ["Answer", "CallError", "Caller", "Lookup", "look_up"]

# What an answer may have to say; the rest is not read.
LIMIT_BYTES = 64 << 10

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host and port, as text; raises OSError where there are none."""


@dataclass(frozen=True)
class Answer:
    """What came back. `body` is cut at the caller's limit; `whole` says whether it was not."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool


class CallError(Exception):
    """No answer, or not a whole one. `reason`: refused, unreachable, tls, timeout or broken."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


async def look_up(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver, in a thread."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Caller:
    """Makes calls, each on a connection of its own.

    `timeout_s` is for a whole call, the answer's last byte included. `ca_file` is trusted beside the system's
    authorities; raises OSError (an `ssl.SSLError` among them) where it cannot be read.
    """

    def __init__(
        self,
        destinations: Destinations,
        *,
        timeout_s: float,
        user_agent: str,
        ca_file: str = "",
        look_up: Lookup = look_up,
    ) -> None:
        self._destinations, self._timeout_s, self._agent, self._look_up = destinations, timeout_s, user_agent, look_up
        self._tls = ssl.create_default_context()
        if ca_file:
            self._tls.load_verify_locations(ca_file)

    @classmethod
    def of(cls, settings: Settings, *, timeout_s: float) -> Self:
        """A caller as the settings want it. Raises OSError for authorities that cannot be read."""
        return cls(
            Destinations.of(settings),
            timeout_s=timeout_s,
            user_agent=f"milepost/{version('milepost')}",
            ca_file=settings.outbound_ca_file,
        )

    async def call(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        limit_bytes: int = LIMIT_BYTES,
    ) -> Answer:
        """Make one call. Raises `CallError`; nothing is looked up or connected to where the URL is refused."""
        try:
            async with asyncio.timeout(self._timeout_s):
                target = self._destinations.target(url)
                addresses = await self._addresses(target)
                return await self._exchange(target, addresses, method, body, dict(headers or {}), limit_bytes)
        except RefusedError as error:
            raise CallError("refused", str(error)) from error
        except TimeoutError as error:
            raise CallError("timeout", f"no whole answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise CallError("tls", _said(error)) from error
        except (aiohttp.ClientConnectorError, gaierror, UnicodeError) as error:
            raise CallError("unreachable", _said(error)) from error
        except (aiohttp.ClientError, aiohttp.http.HttpProcessingError, OSError) as error:
            raise CallError("broken", _said(error)) from error

    async def _addresses(self, target: Target) -> Sequence[str]:
        """Every address of the name, all of them judged: one that is refused refuses the others."""
        addresses = await self._look_up(target.host, target.port)
        for address in addresses:
            self._destinations.check_address(target, address)
        return addresses

    async def _exchange(
        self,
        target: Target,
        addresses: Sequence[str],
        method: str,
        body: bytes,
        headers: Mapping[str, str],
        limit_bytes: int,
    ) -> Answer:
        connector = aiohttp.TCPConnector(
            resolver=_Pinned(addresses), use_dns_cache=False, force_close=True, ssl=self._tls, limit=1
        )
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"user-agent": self._agent, "accept-encoding": "identity"},
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
                auto_decompress=False,
            ) as session,
            session.request(method, target.url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            kept = bytearray()
            async for piece in response.content.iter_chunked(limit_bytes):
                kept += piece
                if len(kept) > limit_bytes:
                    break
            return Answer(response.status, response.headers, bytes(kept[:limit_bytes]), len(kept) <= limit_bytes)


class _Pinned(AbstractResolver):
    """Answers what was looked up and judged, whatever the name leads to by now."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_UNSPEC) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=AF_INET6 if ":" in address else AF_INET,
                proto=0,
                flags=AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


def _said(error: BaseException) -> str:
    """The error's own words, on one line; short, because they go into logs and tables."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
