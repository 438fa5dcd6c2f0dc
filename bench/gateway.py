"""The gateway: acknowledged events a second, one by one and in batches, beside a bare FastAPI route and `publish`.

All of them in one run against one fresh Apache Kafka, one after another. The bare route has the same client and waits
for the same acknowledgement; `milepost publish` reads, checks and sends the same events from a file. The gateway is
`milepost run gateway` as it is, with SQLite, API keys, checks and the memory of ids.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.hosts import ROOT, real_kafka
from milepost.kafka.embedded import EmbeddedBroker

__all__ = ["RATIOS", "measure", "table"]

REPORT = Path("var/bench/gateway.json")
MILEPOST = str(Path(sys.executable).parent / "milepost")
TOPIC = "milestone-events"
HOST = "127.0.0.1"
KAFKA_PORT = 29_492
ENGAGEMENTS = 1_000
START_S = 60.0
RUN_S = 600
# What is sent before the time is taken: connections, metadata and code that runs for the first time.
WARM_REQUESTS = 50

RATIOS = (
    ("gateway, one by one", "bare route, one by one"),
    ("gateway, in batches", "bare route, in batches"),
    ("gateway, in batches", "publish"),
)


@dataclass(frozen=True)
class Measured:
    """Events that were acknowledged, and in how many seconds."""

    name: str
    events: int
    seconds: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


def measure(singles: int, batched: int, batch: int, connections: int, *, embedded: bool = False) -> dict[str, object]:
    """Measure everything; how many events one by one and in batches, how large a batch, how many clients at a time.

    `embedded`: on the embedded broker instead of a real Kafka, which says less.
    """
    with tempfile.TemporaryDirectory(prefix="milepost-bench-") as name, _broker(embedded) as servers:
        folder = Path(name)
        environment = _environment(folder, servers)
        _milepost(environment, "topics", "apply")
        found = [
            *_bare(servers, singles, batched, batch, connections),
            *_gateway(environment, folder, singles, batched, batch, connections),
            _publish(environment, folder, batched),
        ]
    by_name = {one.name: one for one in found}
    report: dict[str, object] = {
        "broker": "embedded" if embedded else "kafka",
        "batch": batch,
        "connections": connections,
        "rates": [
            {"name": one.name, "events": one.events, "seconds": round(one.seconds, 3), "rate": round(one.rate)}
            for one in found
        ],
        "ratios": [{"of": of, "to": to, "ratio": round(by_name[of].rate / by_name[to].rate, 3)} for of, to in RATIOS],
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def table(report: Mapping[str, object]) -> str:
    """The report for people."""
    rates, ratios = report["rates"], report["ratios"]
    assert isinstance(rates, list)
    assert isinstance(ratios, list)
    lines = [f"{'':<26}{'events':>9}{'seconds':>9}{'events/s':>10}"]
    lines += [f"{row['name']:<26}{row['events']:>9}{row['seconds']:>9}{row['rate']:>10}" for row in rates]
    lines += [f"{row['of']} / {row['to']}: {row['ratio']}" for row in ratios]
    return "\n".join([*lines, f"batches of {report['batch']}, {report['connections']} clients; report: {REPORT}"])


# ------------------------------------------------------------------------------------------------------------ the hosts


def _bare(servers: str, singles: int, batched: int, batch: int, connections: int) -> list[Measured]:
    port = _free_port()
    command = [sys.executable, str(ROOT / "bench" / "peers" / "bare" / "app.py"), servers, str(port)]
    with _serving(command, dict(os.environ), port, Path(os.devnull)):
        return _sent("bare route", port, "/events", "", singles, batched, batch, connections)


def _gateway(
    environment: dict[str, str], folder: Path, singles: int, batched: int, batch: int, connections: int
) -> list[Measured]:
    key = _milepost(environment, "keys", "create", "bench", "--tenant", "*", "--action", "events:*").strip()
    port, path = _free_port(), f"/v1/events/{TOPIC}"
    environment = environment | {"MILEPOST_GATEWAY_PORT": str(port)}
    # What it logs goes to a file, as where it is at work.
    with _serving([MILEPOST, "run", "gateway"], environment, port, folder / "gateway.log"):
        return _sent("gateway", port, path, key, singles, batched, batch, connections)


def _publish(environment: dict[str, str], folder: Path, count: int) -> Measured:
    """Without what starting a program costs: that of one event is taken off."""
    took = []
    for name, number in (("one", 1), ("all", count + 1)):
        file = folder / f"{name}.jsonl"
        with file.open("wb") as stream:
            stream.writelines(
                b'{"topic":"%s","value":%s}\n' % (TOPIC.encode(), one) for one in events(f"publish-{name}", number)
            )
        started = time.perf_counter()
        _milepost(environment, "publish", str(file))
        took.append(time.perf_counter() - started)
    return Measured("publish", count, took[1] - took[0])


def _sent(
    name: str, port: int, path: str, key: str, singles: int, batched: int, batch: int, connections: int
) -> list[Measured]:
    bodies = [b"[%s]" % b",".join(part) for part in _parts(list(events(f"{name}-batch", batched)), batch)]
    single = list(events(f"{name}-single", singles))
    found = []
    asyncio.run(_send(port, [_request(port, path, key, body) for body in events(f"{name}-warm", WARM_REQUESTS)], 4))
    for what, requests, count in (("one by one", single, singles), ("in batches", bodies, batched)):
        prepared = [_request(port, path, key, body) for body in requests]
        started = time.perf_counter()
        asyncio.run(_send(port, prepared, min(connections, len(prepared))))
        found.append(Measured(f"{name}, {what}", count, time.perf_counter() - started))
    return found


def events(run: str, count: int) -> Iterator[bytes]:
    """Reports as JSON, of many engagements, under ids that no other run has."""
    for number in range(count):
        yield json.dumps(
            {
                "event_id": f"{run}-{number}",
                "source": "bench",
                "engagement_id": f"eng-{number % ENGAGEMENTS:05}",
                "milestone_id": f"ms-{number % 5}",
                "kind": "REPORTED",
                "completion": "100",
                "occurred_at": "2026-03-31T16:00:00Z",
                "reported_by": "sam",
            },
            separators=(",", ":"),
        ).encode()


def _parts(found: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (found[start : start + size] for start in range(0, len(found), size))


# ---------------------------------------------------------------------------------------------------------- the client


def _request(port: int, path: str, key: str, body: bytes) -> bytes:
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\n{authorization}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _send(port: int, requests: Sequence[bytes], connections: int) -> None:
    """Send prepared requests over so many connections, each waiting for its answer; as little work as there can be."""
    waiting = iter(requests)

    async def client() -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        for request in waiting:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            answer = await reader.readexactly(int(length.split(b":")[1]))
            if not head.startswith(b"HTTP/1.1 202"):
                raise SystemExit(f"{head.splitlines()[0].decode()}: {answer[:500].decode()}")
        writer.close()

    async with asyncio.timeout(RUN_S):
        await asyncio.gather(*(client() for _ in range(connections)))


# ------------------------------------------------------------------------------------------------------------ processes


def _environment(folder: Path, servers: str) -> dict[str, str]:
    return {
        **os.environ,
        "MILEPOST_BOOTSTRAP_SERVERS": servers,
        "MILEPOST_DATABASE_URL": f"sqlite:///{folder}/milepost.db",
        "MILEPOST_GATEWAY_REQUESTS_PER_S": "100000",
    }


def _milepost(environment: dict[str, str], *arguments: str) -> str:
    ran = subprocess.run(
        [MILEPOST, *arguments], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return ran.stdout


@contextmanager
def _broker(embedded: bool) -> Iterator[str]:
    if embedded:
        with EmbeddedBroker() as broker:
            yield broker.bootstrap_servers
    else:
        with real_kafka(KAFKA_PORT) as servers:
            yield servers


@contextmanager
def _serving(command: list[str], environment: dict[str, str], port: int, log: Path) -> Iterator[None]:
    """A server, from when it listens."""
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=stream)
    try:
        asyncio.run(_until_listening(port, process))
        yield
    finally:
        process.terminate()
        process.wait(60)


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as taken:
        return int(taken.getsockname()[1])


async def _until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError as error:
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{process.args!r} does not listen on {port}") from error
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
