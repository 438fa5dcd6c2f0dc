"""What is owed, channels to real servers, and a clock that a test moves."""

import time
from dataclasses import dataclass, field
from typing import Any

from milepost.codec.wire import Record
from milepost.core.outputs import Output
from milepost.notices.deliveries import Deliveries
from milepost.notices.signing import EndpointSecrets
from milepost.notices.storing import Storing
from milepost.notices.wiring import channels
from milepost.settings import Settings, load
from milepost.sql.endpoints import Endpoint, add_endpoint
from milepost.sql.engine import Engine
from milepost.sql.notice_log import Delivery, Selection, deliveries
from milepost.sql.people import Person, keep_people
from tests.ledger import made
from tests.receiving import Receiver

SECONDS = 1_000_000
MASTER = "0123456789abcdef0123456789abcdef"
LINK_SECRET = "fedcba9876543210fedcba9876543210"
TIMEOUT_S = 5.0


def settings_with(**changes: Any) -> Settings:
    """Settings that reach a test's servers, and wait for nobody for long."""
    values: dict[str, Any] = {
        "smtp_security": "none",
        "smtp_from": "Milepost <billing@milepost.test>",
        "endpoint_secret": MASTER,
        "link_secret": LINK_SECRET,
        "public_url": "https://sign.milepost.test",
        "notices_timeout_ms": int(TIMEOUT_S * 1000),
        "notices_bundle_ms": 0,
    }
    return load(**{**values, **changes})


@dataclass
class World:
    """One instance of notices without Kafka, on a database that others may share. `now` stands still."""

    engine: Engine
    settings: Settings
    now: int = field(default_factory=lambda: time.time_ns() // 1_000)
    chance: float = 0.0

    def __post_init__(self) -> None:
        self.worker = self.instance()
        self.storing = Storing(self.settings, self.engine, lambda: self.now)
        self.offsets: dict[str, int] = {}

    def instance(self) -> Deliveries:
        """Another worker on the same database and clock."""
        return Deliveries(
            self.engine,
            channels(self.settings, self.engine),
            now=lambda: self.now,
            chance=lambda: self.chance,
            timeout_s=TIMEOUT_S,
            concurrency=16,
            grace_s=TIMEOUT_S,
        )

    def records(self, *outputs: Output | Record) -> list[Record]:
        """Records of outputs, at the next offsets, of this moment."""
        found = []
        for output in outputs:
            record = output if isinstance(output, Record) else made.record(output, 0)
            offset = self.offsets.get(record.topic, 0)
            self.offsets[record.topic] = offset + 1
            found.append(record._replace(offset=offset, timestamp=self.now // 1_000))
        return found

    def owe(self, *outputs: Output | Record) -> int:
        """Store what outputs owe, as the reader of the topics does."""
        return self.storing.store(self.records(*outputs))

    async def deliver(self, worker: Deliveries | None = None) -> int:
        """Attempt everything that is due now; how many attempts that were."""
        worker, attempts = worker or self.worker, 0
        while started := await worker.claim_and_start():
            attempts += started
            await worker.settle()
        return attempts

    def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        self.now += int(seconds * SECONDS)

    def add_endpoint(self, url: str, **changes: Any) -> tuple[Endpoint, str]:
        """An endpoint that takes everything, and its secret."""
        secrets = EndpointSecrets.of(self.settings)
        scheme = changes.pop("scheme", "v1")
        number = len(changes) + int.from_bytes(url.encode(), "big") % 9_973
        values: dict[str, Any] = {
            "endpoint_id": f"ep-{number}",
            "url": url,
            "types": ("*",),
            "engagements": ("*",),
            "signing_keys": (secrets.new_key(scheme, self.now, bytes),),
            "created_at": self.now,
        }
        endpoint = Endpoint(**{**values, **changes})
        add_endpoint(self.engine, endpoint)
        return endpoint, secrets.text(endpoint.endpoint_id, endpoint.signing_keys[0])

    def keep(self, **addresses: str) -> None:
        """Put people into the directory."""
        keep_people(
            self.engine, (Person(each, address, None, self.now) for each, address in addresses.items()), self.now
        )

    def rows(self, **selection: Any) -> list[Delivery]:
        """Deliveries as they stand."""
        return deliveries(self.engine, Selection(**selection), 100_000)

    def states(self) -> dict[tuple[str, str], str]:
        """State by channel and recipient."""
        return {(row.channel, row.recipient): row.state for row in self.rows()}


def world_for(engine: Engine, *servers: Receiver, **settings: Any) -> World:
    """One whose webhooks reach these servers."""
    admitted = ",".join(f"127.0.0.1:{server.port},localhost:{server.port}" for server in servers)
    return World(engine, settings_with(outbound_admitted_hosts=admitted, **settings))
