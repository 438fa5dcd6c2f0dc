"""The gateway: acknowledged events a second, one by one and in batches, beside a bare FastAPI route and `publish`.

All of them in one run against one fresh Apache Kafka, in turns, so that what else the machine does slows all of them.
The bare route has the same client and waits for the same acknowledgement. `milepost publish` reads, checks and sends
the same events from a file. The gateway is `milepost run gateway` as it is, with SQLite, API keys, checks and the
memory of ids.
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
from statistics import median
from typing import NamedTuple

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


def measure(
    singles: int, batched: int, batch: int, connections: int, rounds: int = 3, *, embedded: bool = False
) -> dict[str, object]:
    """Measure everything, in turns: how many events one by one and in batches, how large a batch, how many clients.

    Rates are the medians of the rounds. `embedded`: on the embedded broker instead of a real Kafka, which says less.
    """
    with (
        tempfile.TemporaryDirectory(prefix="milepost-bench-") as name,
        _broker(embedded) as servers,
        _bare(servers) as bare,
        _gateway(environment := _environment(Path(name), servers), Path(name)) as gateway,
    ):
        found = [
            one
            for number in range(rounds)
            for one in _round(number, bare, gateway, environment, Path(name), singles, batched, batch, connections)
        ]
    rates = {one.name: median(other.rate for other in found if other.name == one.name) for one in found}
    report: dict[str, object] = {
        "broker": "embedded" if embedded else "kafka",
        "batch": batch,
        "connections": connections,
        "rounds": rounds,
        "rates": [
            {"name": one.name, "events": one.events, "rate": round(rates[one.name])}
            for one in found[: len(found) // rounds]
        ],
        "ratios": [{"of": of, "to": to, "ratio": round(rates[of] / rates[to], 3)} for of, to in RATIOS],
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def table(report: Mapping[str, object]) -> str:
    """The report for people."""
    rates, ratios = report["rates"], report["ratios"]
    assert isinstance(rates, list)
    assert isinstance(ratios, list)
    lines = [f"{'':<26}{'events':>9}{'events/s':>10}"]
    lines += [f"{row['name']:<26}{row['events']:>9}{row['rate']:>10}" for row in rates]
    lines += [f"{row['of']} / {row['to']}: {row['ratio']}" for row in ratios]
    said = f"batches of {report['batch']}, {report['connections']} clients, {report['rounds']} rounds; report: {REPORT}"
    return "\n".join([*lines, said])


# ------------------------------------------------------------------------------------------------------------ the hosts


class _Server(NamedTuple):
    """A server at work, and how it is asked."""

    name: str
    port: int
    path: str
    key: str


@contextmanager
def _bare(servers: str) -> Iterator[_Server]:
    port = _free_port()
    command = [sys.executable, str(ROOT / "bench" / "peers" / "bare" / "app.py"), servers, str(port)]
    with _serving(command, dict(os.environ), port, Path(os.devnull)):
        yield _Server("bare route", port, "/events", "")


@contextmanager
def _gateway(environment: dict[str, str], folder: Path) -> Iterator[_Server]:
    _milepost(environment, "topics", "apply")
    key = _milepost(environment, "keys", "create", "bench", "--tenant", "*", "--action", "events:*").strip()
    port = _free_port()
    environment = environment | {"MILEPOST_GATEWAY_PORT": str(port)}
    # What it logs goes to a file, as where it is at work.
    with _serving([MILEPOST, "run", "gateway"], environment, port, folder / "gateway.log"):
        yield _Server("gateway", port, f"/v1/events/{TOPIC}", key)


def _round(
    number: int,
    bare: _Server,
    gateway: _Server,
    environment: dict[str, str],
    folder: Path,
    singles: int,
    batched: int,
    batch: int,
    connections: int,
) -> Iterator[Measured]:
    for server in (bare, gateway):
        run = f"{server.name} {number}"
        _sent(server, list(events(f"{run} warm", WARM_REQUESTS)), connections)
        seconds = _sent(server, list(events(f"{run} single", singles)), connections)
        yield Measured(f"{server.name}, one by one", singles, seconds)
    for server in (bare, gateway):
        parts = _parts(list(events(f"{server.name} {number} batch", batched)), batch)
        seconds = _sent(server, [b"[%s]" % b",".join(part) for part in parts], connections)
        yield Measured(f"{server.name}, in batches", batched, seconds)
    yield _publish(environment, folder, batched, number)


def _sent(server: _Server, bodies: Sequence[bytes], connections: int) -> float:
    """Seconds until the last body was answered."""
    prepared = [_request(server.port, server.path, server.key, body) for body in bodies]
    started = time.perf_counter()
    asyncio.run(_send(server.port, prepared, min(connections, len(prepared))))
    return time.perf_counter() - started


def _publish(environment: dict[str, str], folder: Path, count: int, number: int) -> Measured:
    """Without what starting a program costs: that of one event is taken off, in a start that is not the first.

    Of too few events that is lost in the noise; then the start counts as well.
    """
    took = []
    for name, size in (("warm", 1), ("one", 1), ("all", count + 1)):
        file = folder / f"{name}.jsonl"
        with file.open("wb") as stream:
            stream.writelines(
                b'{"topic":"%s","value":%s}\n' % (TOPIC.encode(), one)
                for one in events(f"publish {number} {name}", size)
            )
        started = time.perf_counter()
        _milepost(environment, "publish", str(file))
        took.append(time.perf_counter() - started)
    _, start_s, whole_s = took
    return Measured("publish", count, whole_s - start_s if whole_s > start_s else whole_s)


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
