"""Bodies of requests: read within a limit and a time, in the form that their content type names.

A route that takes its body whole calls `read`; one that takes a stream wraps it in `within`. Whatever reads a body in
another way is held to the same default by `limits.Guard`.
"""

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.types import Message, Receive

from milepost.gateway.problems import Problem

__all__ = ["Bounded", "media_type", "read", "within"]

# The pace that a body must keep once its first wait is over; a modem's, so that nobody who is alive is cut off.
BYTES_PER_WAIT = 100_000


class Bounded:
    """A request's `receive`, bounded: too large is 413, too slow is 408.

    `limit_bytes` may be changed by the route before it reads. `timeout_s` is the wait for the body to begin, and for
    each `BYTES_PER_WAIT` of it.
    """

    def __init__(self, receive: Receive, limit_bytes: int, timeout_s: float) -> None:
        self._receive, self.limit_bytes, self._timeout_s = receive, limit_bytes, timeout_s
        self._size_bytes = 0
        self._until: float | None = None
        self.whole = False

    async def __call__(self) -> Message:
        if self.whole:  # what comes now is that the client goes away
            return await self._receive()
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + self._timeout_s
        try:
            message = await asyncio.wait_for(self._receive(), self._until - now)
        except TimeoutError:
            raise Problem(
                408,
                "BODY_TOO_SLOW",
                "Too slow",
                f"the body did not come in time: expected {BYTES_PER_WAIT} bytes in {self._timeout_s:g} s "
                "(MILEPOST_GATEWAY_BODY_TIMEOUT_MS)",
            ) from None
        if message["type"] == "http.request":
            size_bytes = len(message.get("body", b""))
            self._size_bytes += size_bytes
            self._until += self._timeout_s * size_bytes / BYTES_PER_WAIT
            self.whole = not message.get("more_body", False)
            self.check(self._size_bytes)
        return message

    def check(self, size_bytes: int) -> None:
        """Raise `Problem` 413 for a body of that size."""
        if size_bytes > self.limit_bytes:
            raise Problem(
                413,
                "BODY_TOO_LARGE",
                "Too large",
                f"the body has more than {self.limit_bytes} bytes; send it in parts, or raise the limit",
                extra={"limit_bytes": self.limit_bytes},
            )


async def read(request: Request, *, limit_bytes: int | None = None) -> bytes:
    """The whole body. Raises `Problem` 408, 413, and 415 for one that is compressed."""
    return b"".join([piece async for piece in within(request, limit_bytes=limit_bytes)])


async def within(request: Request, *, limit_bytes: int | None = None) -> AsyncIterator[bytes]:
    """The body piece by piece, with a limit of the route's own if it has one; raises as `read` does."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Problem(
            415, "ENCODING_NOT_TAKEN", "Compressed body", f"the body is encoded as {encoding[:40]!r}; send it as it is"
        )
    bounded: Bounded = request.scope["milepost.body"]
    if limit_bytes is not None:
        bounded.limit_bytes = limit_bytes
    length = request.headers.get("content-length", "")
    if length.isdecimal():
        bounded.check(int(length[:20]))
    async for piece in request.stream():
        yield piece


def media_type(request: Request) -> str:
    """The content type without its parameters, in lower case; "" when there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
