"""`/metrics` for Prometheus, `/live` and `/ready` for whoever starts and restarts processes; from a thread of its own.

`/live` answers 200 as long as the process does. `/ready` answers 200, or 503 with what is waited for: partitions
restored, broker and database reachable, lag within its bound.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from milepost.observe import health, metrics

__all__ = ["Exposition", "expose"]

# Copied for each answer: the server adds to the list that it is given.
_TEXT = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]
_TIMEOUT_S = 10


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = _TIMEOUT_S  # a connection that says nothing is given up

    def log_message(self, *_: object) -> None:
        """A scrape every few seconds is no news."""


@dataclass(frozen=True)
class Exposition:
    """A running HTTP server; `port` is the one it got."""

    host: str
    port: int
    server: WSGIServer
    thread: Thread

    def stop(self) -> None:
        """Stop answering and free the port; takes at most half a second."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def expose(host: str, port: int) -> Exposition:
    """Serve on `host:port`; port 0 takes a free one.

    Raises `OSError` when the address is taken or not ours. (The setting `metrics_port` 0 means "none"; that is for the
    caller to see.)
    """
    scrape = make_wsgi_app(metrics.REGISTRY)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        match environ.get("PATH_INFO"):
            case "/live":
                start_response("200 OK", list(_TEXT))
                return [b"live\n"]
            case "/ready":
                troubles = health.troubles()
                start_response("503 Service Unavailable" if troubles else "200 OK", list(_TEXT))
                return ["".join(f"{line}\n" for line in troubles or ["ready"]).encode()]
            case "/metrics":
                exposed: Iterable[bytes] = scrape(environ, start_response)
                return exposed
        start_response("404 Not Found", list(_TEXT))
        return [b"there are /metrics, /live and /ready\n"]

    server = make_server(host, port, answer, server_class=_Server, handler_class=_Quiet)
    thread = Thread(target=server.serve_forever, name="exposition", daemon=True)
    thread.start()
    return Exposition(host, server.server_port, server, thread)
