"""Debian's Prometheus and Alertmanager, started with the files of examples/service-levels/monitoring.

What differs from those files is speed and place: seconds instead of minutes, addresses on this machine, and the
calendar, which the service shows and a test turns by hand.
"""

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

from tests.brokers import free_ports

ROOT = Path(__file__).parents[2]
FILES = ROOT / "examples" / "service-levels" / "monitoring"
REACHED_S = 90


class Service:
    """A service that says of itself whether it is well: what Prometheus watches. On its wall hangs the calendar."""

    def __init__(self, month: str) -> None:
        self.healthy, self.month = True, month
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shown = {"service_healthy": int(service.healthy), "calendar_month": service.month.replace("-", "")}
                answer = "".join(f"# TYPE {name} gauge\n{name} {value}\n" for name, value in shown.items()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Monitoring:
    """Prometheus and Alertmanager on ports of their own, with their files in a folder."""

    def __init__(self, folder: Path, watched: str, webhook: str, secret: str) -> None:
        self._folder, self._processes = folder, dict[str, subprocess.Popen[bytes]]()
        port = free_ports(2)
        self._prometheus, self._alertmanager = f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"
        (folder / "secret").write_text(secret)
        self._copy(
            "prometheus.yml",
            ("scrape_interval: 1m", "scrape_interval: 1s"),
            ("evaluation_interval: 1m", "evaluation_interval: 1s"),
            ("service.example:9100", watched),
            ("alertmanager.example:9093", self._alertmanager),
        )
        exact = "100 * year(vector(time())) + month(vector(time()))"
        self._copy("calendar.rules.yml", (exact, "max(calendar_month)"))
        self._copy("service-levels.rules.yml", ("[31d:]", "[10m:]"))
        self._copy(
            "alertmanager.yml",
            ("group_interval: 5m", "group_interval: 1s"),
            ("https://bill.example/v1/webhooks/prometheus", webhook),
            ("/etc/alertmanager/milepost-secret", str(folder / "secret")),
        )

    def start(self) -> None:
        """Start both. An alert of which Prometheus says nothing for twelve seconds counts as ended."""
        self._run(
            "alertmanager",
            "prometheus-alertmanager",
            "--config.file=alertmanager.yml",
            "--storage.path=alertmanager",
            f"--web.listen-address={self._alertmanager}",
            "--cluster.listen-address=",
        )
        self._run(
            "prometheus",
            "prometheus",
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=prometheus",
            f"--web.listen-address={self._prometheus}",
            "--rules.alert.resend-delay=3s",
        )

    def kill_prometheus(self) -> None:
        process = self._processes.pop("prometheus")
        process.kill()
        process.wait(10)

    def asked(self, query: str) -> list[tuple[dict[str, str], float]]:
        """What Prometheus answers to a query: labels and values."""
        try:
            with urlopen(f"http://{self._prometheus}/api/v1/query?query={quote(query)}", timeout=10) as answer:
                result = json.load(answer)["data"]["result"]
        except OSError:
            return []
        return [(one["metric"], float(one["value"][1])) for one in result]

    def alerts(self) -> list[str]:
        """The months of which Alertmanager has an alert that goes on."""
        with urlopen(f"http://{self._alertmanager}/api/v2/alerts", timeout=10) as answer:
            return [one["labels"].get("milepost_month", "") for one in json.load(answer)]

    def stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(30)

    def log(self) -> str:
        """What both said, for a failed assertion."""
        return "\n".join(path.read_text()[-3_000:] for path in self._folder.glob("*.log"))

    def check(self) -> None:
        for name, process in self._processes.items():
            assert process.poll() is None, f"{name} ended: {self.log()}"

    def _run(self, name: str, *command: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)

    def _copy(self, name: str, *changes: tuple[str, str]) -> None:
        text = (FILES / name).read_text()
        for old, new in changes:
            assert text.count(old) == 1, f"{name} has no {old!r}, or several"
            text = text.replace(old, new)
        (self._folder / name).write_text(text)


@contextmanager
def watching(folder: Path, month: str, webhook: str, secret: str) -> Iterator[tuple[Service, Monitoring]]:
    """A service, and Prometheus and Alertmanager that watch it once they are started."""
    folder.mkdir()
    service = Service(month)
    monitoring = Monitoring(folder, service.address, webhook, secret)
    try:
        yield service, monitoring
    finally:
        monitoring.stop()
        service.stop()


async def until(what: str, holds: Callable[[], Any], monitoring: Monitoring) -> Any:
    """What `holds` gives once it gives something."""
    end = time.monotonic() + REACHED_S
    while True:
        found = holds()
        found = await found if isinstance(found, Awaitable) else found
        if found:
            return found
        monitoring.check()
        assert time.monotonic() < end, f"{what}: not within {REACHED_S} s\n{monitoring.log()}"
        await asyncio.sleep(0.2)
