"""What is prepared in a sandbox for trying it out, and the lines that do it: as printed, in any shell with curl.

An engagement is opened, a milestone is reported by a signed webhook, two people approve it by the links in their
e-mails, and there is its line; another is not answered for ten days, and accepted by that.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from milepost.codec.standard_webhooks import secret_text
from milepost.gateway import keys
from milepost.gateway.endpoints import read_endpoint
from milepost.settings import Settings
from milepost.sql.api_keys import ApiKey, add_key
from milepost.sql.engine import connect
from milepost.sql.people import Person, keep_people
from milepost.sql.sealing import Seal
from milepost.sql.webhooks import add_endpoint

__all__ = ["Line", "lines", "prepare"]

ENGAGEMENT, ENDPOINT = "harbour", "tracker"
PEOPLE = {"nina": "Nina Berg", "paul": "Paul Adeyemi"}  # nobody of the examples, whose requests would come, too
SECRET_BYTES = 32
KEY_DAYS = 365

CONTRACT = """\
milepost: 1
engagement: harbour
version: 1
customer: {{id: acme, name: Acme Ports}}
supplier: {{id: northwind, name: Northwind Consulting}}
currency: EUR
value: "100000.00"
timezone: Europe/Berlin
effective_from: {year}-01-01
people:
  delivery_lead: [nina]
  client_ap: [paul]
approvals:
  dual: {{steps: [{{role: delivery_lead}}, {{role: client_ap}}]}}
  silence: {{steps: [{{role: client_ap, within: P10D, on_timeout: accept}}]}}   # no answer in ten days is acceptance
amendments: {{approval: dual}}
retention: {{rate: "10", release: [{{id: end, when: signoff}}]}}
milestones:
  - {{id: design, name: Design, fee: {{fixed: "60000.00"}}, requires: [completed], approval: dual}}
  - {{id: build, name: Build, fee: {{fixed: "40000.00"}}, requires: [completed], approval: silence}}
"""

TRACKER = """\
tenant = "*"
engagements = ["*"]
adapter = "mapped"
proof = "standard-webhooks"

[options]
source = "tracker"

[[options.events]]
topic = "milestone-events"
when = [{ pointer = "/state", equals = ["done"] }]

[options.events.fields]
event_id = { template = "{/project}-{/phase}-{/at}" }
engagement_id = { pointer = "/project" }
milestone_id = { pointer = "/phase" }
kind = "REPORTED"
occurred_at = { pointer = "/at" }
"""


class Line(NamedTuple):
    """A line to type, and what it does."""

    does: str
    line: str


def prepare(settings: Settings, folder: Path) -> None:
    """Put a key, an endpoint for webhooks, people and files into the sandbox; the database has its tables.

    The key may do everything: a sandbox is for one machine. Raises `UnavailableError`.
    """
    now = datetime.now(UTC)
    at_us = int(now.timestamp() * 1_000_000)
    key, secret = keys.new_secret(), secret_text(os.urandom(SECRET_BYTES))
    engine = connect(settings.database_url.get_secret_value())
    try:
        add_key(
            engine,
            ApiKey(
                key.key_id, "sandbox", "*", ("*",), ("*",), None, (), keys.sha256_of(key.text), at_us,
                at_us + int(timedelta(days=KEY_DAYS).total_seconds()) * 1_000_000,
            ),
        )  # fmt: skip
        add_endpoint(engine, read_endpoint(ENDPOINT, TRACKER, at_us), secret, Seal.of(settings))
        people = [Person(name, f"{name}@sandbox.example", full, at_us) for name, full in PEOPLE.items()]
        keep_people(engine, people, at_us)
    finally:
        engine.dispose()
    (folder / "contract.yaml").write_text(CONTRACT.format(year=now.year), encoding="utf-8")
    for phase in ("design", "build"):
        text = f'{{"project": "{ENGAGEMENT}", "phase": "{phase}", "state": "done", "at": "{now:%Y-%m-%dT%H:%M:%SZ}"}}\n'
        (folder / f"{phase}.json").write_text(text, encoding="utf-8")
    # Only for this user: what is in them opens everything.
    for name, text in (("tracker.secret", secret + "\n"), ("sandbox.sh", _variables(settings, key.text))):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text, encoding="utf-8")


def _variables(settings: Settings, key: str) -> str:
    """What the lines need, as exports: where the command line is, the sandbox's settings, its key."""
    values = {
        "PATH": f"{Path(sys.executable).parent}:",
        "API": f"{settings.public_url}/v1",
        "KEY": key,
        "MILEPOST_SANDBOX": "1",
        "MILEPOST_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "MILEPOST_TOPIC_PREFIX": settings.topic_prefix,
        "MILEPOST_DATABASE_URL": settings.database_url.get_secret_value(),
        "MILEPOST_LINK_SECRET": settings.link_secret.get_secret_value(),
        "MILEPOST_ENDPOINT_SECRET": settings.endpoint_secret.get_secret_value(),
        "MILEPOST_EVIDENCE_DIR": settings.evidence_dir,
        "MILEPOST_PUBLIC_URL": settings.public_url,
    }
    return "".join(
        f"export {name}={shlex.quote(value)}" + ('"$PATH"\n' if name == "PATH" else "\n")
        for name, value in values.items()
    )


def lines(folder: Path) -> Sequence[Line]:
    """The lines, in their order; each waits for what it needs."""
    authorised = '-H "Authorization: Bearer $KEY"'
    signed = "milepost webhooks sign {0}.json --secret-file tracker.secret"
    hook = 'curl -sS "$API/webhooks/tracker" -H @- -H "Content-Type: application/json" --data-binary @{0}.json; echo'
    link = "LINK=$(grep -hos 'http[^ ]*/approve/[^ ]*' outbox/*{0}@*.txt | head -n 1); [ -n \"$LINK\" ]"
    heading = "sed -n 's:.*<h1[^>]*>\\(.*\\)</h1>.*:\\1:p'"
    approve = f'until {link}; do sleep 1; done; curl -sSL "$LINK" -d decision=approve | {heading}'
    billed = f'curl -sS "$API/engagements/{ENGAGEMENT}/lines" {authorised} -H "Accept: text/csv"'
    shown = f'until LINE=$({billed} | grep {{0}}); do sleep 1; done; echo "$LINE" | cut -d, -f 2,8,10,14,16,18,19'
    return (
        Line("the key and the addresses that the lines use", f"cd {shlex.quote(str(folder))} && . ./sandbox.sh"),
        Line(
            "open the engagement of contract.yaml",
            f'curl -sS "$API/engagements" {authorised} -H "Content-Type: application/yaml" --data-binary '
            "@contract.yaml; echo",
        ),
        Line(
            "its design is done: a webhook, signed as the project tool would",
            f"{signed.format('design')} | {hook.format('design')}",
        ),
        Line("nina was asked by e-mail; approve by the link in it", approve.format("nina")),
        Line("so was paul", approve.format("paul")),
        Line("the line: gross, retained, payable", shown.format("design")),
        Line("the build is done, too", f"{signed.format('build')} | {hook.format('build')}"),
        Line(
            "paul was asked; ten days without an answer are acceptance, as the contract says",
            f"until grep -qs -i build outbox/*paul@*.txt; do sleep 1; done; milepost clock advance P11D; "
            f"{shown.format('build')}",
        ),
    )
