"""A real sender: Prometheus and Alertmanager watch a service, and its months bill or do not (marker `prometheus`)."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from milepost.demo.examples import examples_dir, read_examples
from milepost.demo.pipeline import Pipeline
from milepost.demo.play import apply_topics
from milepost.gateway.endpoints import read_endpoint
from milepost.gateway.proofs import new_secret
from milepost.gateway.wiring import gateway_service
from milepost.kafka.publishing import Publisher
from milepost.settings import Settings
from milepost.sql.engine import Engine, connect
from milepost.sql.migrations import migrate
from milepost.sql.reading import LedgerReading
from milepost.sql.sealing import Seal
from milepost.sql.webhooks import add_endpoint
from tests.gateway.monitoring import FILES, Monitoring, until, watching
from tests.gateway.serving import sqlite, stored
from tests.gateway.test_webhooks import counted

LINK_SECRET = "s" * 32
pytestmark = [pytest.mark.prometheus, pytest.mark.slow, pytest.mark.timeout(400)]


def months() -> tuple[str, str, str]:
    """The two months before this one, and this one."""
    this = datetime.now(UTC).replace(day=1)
    last = (this - timedelta(days=1)).replace(day=1)
    return f"{last - timedelta(days=1):%Y-%m}", f"{last:%Y-%m}", f"{this:%Y-%m}"


@asynccontextmanager
async def billing(bootstrap_servers: str, folder: Path) -> AsyncIterator[tuple[Engine, str, str]]:
    """A gateway on a port of its own, the join and the ledger behind it, and the engagement of the example, whose
    transition is done. Gives the database, the webhook's address and its secret."""
    chosen = Settings(
        bootstrap_servers=bootstrap_servers,
        database_url=sqlite(folder),
        link_secret=LINK_SECRET,
        gateway_port=0,
        evidence_dir=str(folder / "evidence"),
        poll_timeout_ms=20,
    )
    apply_topics(chosen)
    engine = connect(chosen.database_url.get_secret_value())
    migrate(engine)
    secret = new_secret("bearer", "prometheus")
    endpoint = read_endpoint("prometheus", (FILES / "endpoint.toml").read_text(), 0)
    add_endpoint(engine, endpoint, secret, Seal([LINK_SECRET]))
    (example,) = [one for one in read_examples(examples_dir()) if one.name == "service-levels"]
    publisher = Publisher(chosen)
    for topic, event in [("engagements", example.opening), *((line.topic, line.event) for line in example.lines[:2])]:
        publisher.send(topic, event)
    publisher.flush()
    gateway = gateway_service(chosen)
    serving = asyncio.create_task(gateway.run())
    try:
        async with Pipeline(chosen):
            yield engine, f"{gateway.url}/v1/webhooks/prometheus", secret
    finally:
        gateway.stop()
        await serving
        engine.dispose()


def states(engine: Engine) -> dict[str | None, str]:
    """What became of each month."""
    statuses = LedgerReading(engine).statuses("hosting")
    return {status.occurrence_id: status.state for status in statuses if status.milestone_id == "availability"}


def billed(engine: Engine) -> list[tuple[str | None, int, str | None]]:
    """Month, amount and the value that each line was billed by."""
    lines = LedgerReading(engine).lines("hosting")
    return [
        (line.occurrence_id, line.gross_minor, line.attributes.get("kpi_value"))
        for line in lines
        if line.milestone_id == "availability"
    ]


def active(monitoring: Monitoring, alert: str, **labels: str) -> bool:
    wanted = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return bool(monitoring.asked(f'ALERTS{{alertname="{alert}",alertstate="firing",{wanted}}}'))


async def test_a_months_alert_ends_and_the_month_bills(embedded_broker: str, tmp_path: Path) -> None:
    bad, good, this = months()
    passed_over = counted("passed_over", "alertmanager")
    async with billing(embedded_broker, tmp_path) as (engine, webhook, secret):
        with watching(tmp_path / "monitoring", bad, webhook, secret) as (service, monitoring):

            async def wait(what: str, holds: object) -> None:
                await until(what, holds, monitoring)  # type: ignore[arg-type]

            # A month in which the service is down for a while: the rule for people fires.
            monitoring.start()
            await wait("the month's alert", lambda: active(monitoring, "MonthOfService", milepost_month=bad))
            service.healthy = False
            await wait("the alert of the bad month", lambda: active(monitoring, "ServiceLevelAtRisk"))
            service.healthy = True
            await wait("the service's recovery", lambda: [value for _, value in monitoring.asked("sla:good")] == [1])
            assert states(engine) == {}

            # The next month begins, and the service is well: the rule resolves, and the bad month is said.
            service.month = good
            await wait("the end of the alert", lambda: not active(monitoring, "ServiceLevelAtRisk"))
            await wait("the bad month's status", lambda: bad in states(engine))
            await wait("the good month's alert", lambda: active(monitoring, "MonthOfService", milepost_month=good))
            assert (states(engine)[bad], billed(engine)) == ("PENDING", [])

            # That one ends too: it bills, once.
            service.month = this
            await wait("the good month's line", lambda: billed(engine))
            assert billed(engine) == [(good, 200_000, "100.000000")]

            # Prometheus dies in the middle of this month. Alertmanager takes that for the alert's end, and says so:
            # half a month is no value of it.
            await wait("the beginnings of three", lambda: counted("passed_over", "alertmanager") >= passed_over + 3)
            assert monitoring.alerts() == [this]
            monitoring.kill_prometheus()
            await wait("the end by silence", lambda: counted("passed_over", "alertmanager") >= passed_over + 4)
            assert monitoring.alerts() == []
            assert (states(engine).keys(), len(billed(engine))) == ({bad, good}, 1)

    values = {one.event.period_start.strftime("%Y-%m"): one.event for one in stored(embedded_broker, "kpi-events")}
    assert values.keys() == {bad, good}
    assert 0 < float(values[bad].value) < 99.9
    assert (values[good].value, values[good].unit, values[good].status) == ("100.000000", "percent", "FINAL")
    assert all(event.event_id.endswith(":resolved") for event in values.values())


def checked(*command: str) -> None:
    run = subprocess.run(command, cwd=FILES, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_files_are_what_their_programs_take() -> None:
    checked("promtool", "check", "config", "prometheus.yml")
    checked("amtool", "check-config", "alertmanager.yml")


def test_a_month_of_the_rules_by_the_hour(tmp_path: Path) -> None:
    """The rules as they stand, over two months of promtool's time; a wrong value would be seen."""
    checked("promtool", "test", "rules", "service-levels.test.yml")
    for path in FILES.glob("*.yml"):
        (tmp_path / path.name).write_text(path.read_text().replace("98.655914", "98.655915"))
    wrong = subprocess.run(
        ["promtool", "test", "rules", "service-levels.test.yml"], cwd=tmp_path, capture_output=True, timeout=120
    )
    assert wrong.returncode == 1
