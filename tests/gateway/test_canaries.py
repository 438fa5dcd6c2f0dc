"""S28 at the gateway: keys and secrets come in with every request, and go nowhere from there.

A gateway on a socket is asked rightly, wrongly, and until it fails with a traceback; what it wrote, counted and
answered is looked through for every secret that it saw.
"""

import base64
import io
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from sqlalchemy import text

from milepost.codec import standard_webhooks
from milepost.gateway import keys
from milepost.gateway.doors import now
from milepost.gateway.endpoints import read_endpoint
from milepost.gateway.proofs import new_secret
from milepost.observe import logs, metrics
from milepost.settings import Settings
from milepost.sql.engine import writing
from milepost.sql.link_tokens import TRIGGER, LinkKeys
from milepost.sql.sealing import Seal
from milepost.sql.trigger_urls import TriggerUrls
from milepost.sql.webhooks import add_endpoint
from tests.gateway.running import DAY_US, Running, listening
from tests.gateway.serving import sqlite
from tests.gateway.test_proofs import signed
from tests.gateway.test_webhooks import CONTENT_TYPE, ENDPOINT, EVENT

LINK_SECRET = "canary-of-the-links-0123456789abcdef"
PASSWORD = "canary-of-the-database"
PROOFS = ("standard-webhooks", "github", "bearer", "basic")
# What no release writes: whoever asks finds it with the secret in hand, and fails.
DAMAGES = (
    "UPDATE api_keys SET actions = '[5]'",
    "UPDATE webhook_endpoints SET options = '5'",
    "UPDATE webhook_secrets SET expires_at = 'x'",
    "UPDATE trigger_urls SET expires_at = 'x'",
    "DROP TABLE remembered_events",
    "DROP TABLE api_keys",
)


@contextmanager
def logged(form: Any) -> Iterator[io.StringIO]:
    """All that this process logs meanwhile."""
    stream = io.StringIO()
    logs.configure("debug", form, stream)
    # Who asks is in the same process, and logs its addresses.
    asking = [logging.getLogger(name) for name in ("httpx2", "httpcore2")]
    for one in asking:
        one.setLevel(logging.CRITICAL)
    try:
        yield stream
    finally:
        for one in asking:
            one.setLevel(logging.NOTSET)
        logs.configure()


class Canaries:
    """Every kind of secret that comes with a request, each good, and the requests that bring them."""

    def __init__(self, gate: Running) -> None:
        self.gate, self.key = gate, gate.key()
        self.stranger = keys.new_secret().text
        self.secrets = {proof: new_secret(proof, proof) for proof in PROOFS}
        for proof, secret in self.secrets.items():
            made = read_endpoint(proof, ENDPOINT.format(proof=proof), now())
            add_endpoint(gate.engine, made, secret, Seal([LINK_SECRET]))
        urls = TriggerUrls(gate.engine, LinkKeys([LINK_SECRET], TRIGGER))
        _, self.token = urls.create(
            engagement_id="hosting", milestone_id="build", occurrence_id=None, completion="60", source="pipeline",
            reported_by="maria", now=now(), expires_at=now() + DAY_US,
        )  # fmt: skip

    def asked(self) -> list[Any]:
        """The answers to requests that are right and that are not, each with its secret."""
        gate, found = self.gate, []
        kpi = {"event_id": "e-1", "source": "x", "engagement_id": "hosting", "kpi_id": "k", "value": "1",
               "observed_at": "2026-02-01T00:00:00Z"}  # fmt: skip
        for key in (self.key, self.stranger, self.key[:-1] + "x", self.key + "x"):
            found += [
                gate.ask("POST", "/v1/events/kpi-events", key, json=kpi),
                gate.ask("POST", "/v1/events/kpi-events", key, json=kpi | {"unit": key}),
                gate.ask("GET", f"/v1/whoami?api_key={key}"),
                gate.ask("GET", f"/v1/engagements?cursor={key}"),
                gate.ask("GET", "/v1/whoami", headers={"Authorization": f"Basic {key}"}),
            ]
        for proof, secret in self.secrets.items():
            for event in (EVENT, EVENT | {"time": "yesterday"}):
                content = json.dumps(event).encode()
                for other in (secret, new_secret(proof, proof)):
                    headers = dict(sent(proof, other, content)) | CONTENT_TYPE
                    found.append(gate.ask("POST", f"/v1/webhooks/{proof}", content=content, headers=headers))
        for method in ("GET", "HEAD", "POST"):
            found.append(gate.ask(method, f"/t/{self.token}"))
        return found

    def forms(self) -> dict[str, str]:
        """What must stand nowhere, by what it is."""
        found = {"key": self.key, "secret of the key": self.key[-43:], "link secret": LINK_SECRET,
                 "trigger URL": self.token}  # fmt: skip
        for proof, secret in self.secrets.items():
            found[proof] = secret
            found[f"{proof} in base64"] = base64.b64encode(secret.encode()).decode()
            found[f"{proof}, its end"] = secret.rpartition(":")[2].removeprefix("whsec_")
        assert all(len(secret) >= 20 for secret in found.values())
        return found


def sent(proof: str, secret: str, content: bytes) -> list[tuple[str, str]]:
    if proof == "standard-webhooks":
        key = standard_webhooks.read_key(secret)
        return list(standard_webhooks.sign([key], "msg_1", int(time.time()), content).items())
    return signed(proof, secret, content)


@pytest.mark.parametrize("form", ["json", "console"])
def test_s28_no_secret_of_a_request_is_logged_counted_or_answered(
    embedded_broker: str, tmp_path: Path, form: Any
) -> None:
    with (
        logged(form) as stream,
        listening(embedded_broker, sqlite(tmp_path), link_secret=LINK_SECRET, gateway_requests_per_s=0) as gate,
    ):
        canaries = Canaries(gate)
        answers = canaries.asked()
        assert {202, 400, 401, 409, 422} <= {answer.status_code for answer in answers}
        for damage in DAMAGES:
            with writing(gate.engine) as connection:
                connection.execute(text(damage))
            answers += canaries.asked()
    written = stream.getvalue()
    assert [answer.status_code for answer in answers].count(500) > 20
    assert 503 in {answer.status_code for answer in answers}
    assert written.count("Traceback (most recent call last)") > 20
    places = {
        "log": written,
        "metrics": generate_latest(metrics.REGISTRY).decode(),
        "answers": "\n".join(f"{one.headers} {one.text}" for one in answers),
    }
    assert "milepost_gateway_requests_total" in places["metrics"]
    found = [(what, where) for what, secret in canaries.forms().items() for where in places if secret in places[where]]
    assert found == []


def test_s28_a_canary_would_be_found(embedded_broker: str, tmp_path: Path) -> None:
    with logged("json") as stream, listening(embedded_broker, sqlite(tmp_path), link_secret=LINK_SECRET) as gate:
        canaries = Canaries(gate)
        logs.logger("milepost.gateway").warning("careless", headers={"authorization": f"Bearer {canaries.key}"})
    found = [what for what, secret in canaries.forms().items() if secret in stream.getvalue()]
    assert found == ["key", "secret of the key"]


def test_s28_settings_hide_their_secrets() -> None:
    """As an error, a debugger or a careless entry would write them."""
    chosen = Settings(
        _env_file=None, link_secret=LINK_SECRET, endpoint_secret=LINK_SECRET + "2",
        database_url=f"postgresql://milepost:{PASSWORD}@db/milepost",
    )  # type: ignore[call-arg,arg-type]  # fmt: skip
    for text_of in (repr(chosen), str(chosen), str(chosen.model_dump()), chosen.model_dump_json()):
        assert LINK_SECRET not in text_of
        assert PASSWORD not in text_of
