"""The ledger on PostgreSQL beside the join, in one run: both are given the same events, one to join, one to store."""

import os
import subprocess
import sys
import time

from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import text

from bench.hosts import PARTITIONS, ROOT, RUN_S, Measured, milepost_on, real_kafka
from milepost.sql.engine import Engine, connect, reading
from tests.postgres import running_postgres

__all__ = ["measure", "table"]


def measure(events: int) -> dict[str, object]:
    """Join `events`, then store what came of them in an empty PostgreSQL; rates are joined events a second."""
    with real_kafka(29592) as servers, running_postgres() as server:
        joined = milepost_on("join", servers, events)
        stored = _stored(servers, server.create_database(), joined.events)
    return {
        "hosts": [
            {"host": one.host, "events": one.events, "seconds": round(one.seconds, 2)} for one in (joined, stored)
        ],
        "ratio": round(stored.rate / joined.rate, 3),
    }


def table(report: dict[str, object]) -> str:
    """The report for people."""
    hosts = report["hosts"]
    assert isinstance(hosts, list)
    lines = [f"{row['host']:<10}{row['events']:>10} events{row['seconds']:>10} s" for row in hosts]
    return "\n".join([*lines, f"ledger / join: {report['ratio']} (1 or more: the ledger keeps up)"])


def _stored(servers: str, url: str, events: int) -> Measured:
    environment = os.environ | {"MILEPOST_BOOTSTRAP_SERVERS": servers, "MILEPOST_DATABASE_URL": url}
    wanted = _records(servers)
    engine = connect(url)
    began = time.monotonic()
    command = [sys.executable, "-m", "consumers.ledger"]
    ledger = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        while time.monotonic() - began < RUN_S:
            if ledger.poll() is not None:
                raise SystemExit(f"the ledger ended with status {ledger.returncode}")
            if _rows(engine) >= wanted:
                return Measured("ledger", events, time.monotonic() - began)
            time.sleep(0.05)
    finally:
        ledger.terminate()
        ledger.wait(60)
        engine.dispose()
    raise SystemExit(f"the ledger stored too little within {RUN_S} s")


def _rows(engine: Engine) -> int:
    """Audit entries that are stored; 0 before the ledger has made the table."""
    with reading(engine) as connection:
        if connection.execute(text("SELECT to_regclass('audit_entries')")).scalar() is None:
            return 0
        return int(connection.execute(text("SELECT count(*) FROM audit_entries")).scalar_one())


def _records(servers: str) -> int:
    """Audit entries that a committed reader is given: of all outputs they are the most."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "bench-ledger", "enable.partition.eof": True})
    consumer.assign([TopicPartition("audit-trail", number, 0) for number in range(PARTITIONS)])
    count, ended = 0, set[int | None]()
    while len(ended) < PARTITIONS:
        for record in consumer.consume(10_000, timeout=0.2):
            if record.error() is None:
                count += 1
            else:
                ended.add(record.partition())
    consumer.close()
    return count
