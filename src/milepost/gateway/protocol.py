"""HTTP/1.1 as the gateway speaks it: uvicorn's own, bounded in time before a request's head is there.

uvicorn waits for ever for a head that was begun, which costs an attacker one connection and one byte now and then; and
it answers what is no HTTP in plain text. Bodies are bounded by `limits.Guard`.
"""

import asyncio
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from milepost.gateway.problems import MEDIA_TYPE, Problem, problem_body

__all__ = ["protocol"]


def protocol(head_timeout_s: float) -> type[H11Protocol]:
    """The protocol's class, with a bound for the wait for a request's line and headers."""

    class _Configured(_Protocol):
        timeout_s = head_timeout_s

    return _Configured


class _Protocol(H11Protocol):
    timeout_s: float
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_here()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._head_is_here()
        elif self._timer is None and self.conn.trailing_data[0]:
            self._await_head()

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem(400, "NOT_HTTP", "Bad request", f"{msg} Send a request of HTTP/1.1."))

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(self.timeout_s, self._too_slow)

    def _head_is_here(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        detail = f"a request's line and headers have to come within {self.timeout_s:g} s"
        self._refuse(Problem(408, "HEAD_TOO_SLOW", "Too slow", detail))

    def _refuse(self, problem: Problem) -> None:
        """Answer without the application, if an answer can still be given, and close."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            body = problem_body(problem)
            headers = [("content-type", MEDIA_TYPE), ("content-length", str(len(body))), ("connection", "close")]
            reason = HTTPStatus(problem.status).phrase.encode()
            for event in (
                h11.Response(status_code=problem.status, headers=headers, reason=reason),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
