"""The words of an e-mail: from payloads to subject, text and HTML. Pure.

Whatever came from outside stands on one line, without control characters; HTML is escaped by the template engine. A
letter says what happened to which milestone, what is asked of whom by when, and never more money than the record does.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from milepost.codec.topics import DEAD_LETTER_TOPIC
from milepost.core.money import format_minor
from milepost.notices.channels import plain
from milepost.notices.messages import REQUESTS

__all__ = ["Letter", "letter", "many"]

# The first ones of a bundle are spelt out; who wants them all asks the ledger.
_SPELT_OUT = 50
_SUBJECT_LENGTH = 150
_VALUE_LENGTH = 500

_SUBJECTS = {
    "REQUESTED": "Please sign: {what}",
    "REMINDED": "Reminder, please sign: {what}",
    "ESCALATED": "Escalated to you, please sign: {what}",
    "GRANTED": "Signed: {what}",
    "DEEMED": "Accepted without a signature: {what}",
    "REJECTED": "Rejected: {what}",
    "EXPIRED": "Not signed in time: {what}",
    "SUPERSEDED": "Nothing to sign any more: {what}",
}
_OPENINGS = {
    "REQUESTED": "You are asked to sign as {role}.",
    "REMINDED": "This still waits for a signature as {role}.",
    "ESCALATED": "Nobody signed in time, so that you are asked to sign as {role}.",
    "GRANTED": "The step of {role} is signed. There is nothing left for you to do.",
    "DEEMED": "Nobody signed in time, and the contract takes that as a signature of {role}.",
    "REJECTED": "The step of {role} was rejected, and the submission has ended with it.",
    "EXPIRED": "Nobody signed in time, and the submission has ended. The next report opens another one.",
    "SUPERSEDED": "What you were asked to sign as {role} was replaced or withdrawn. A link to it decides nothing.",
}
_CLOSING = "Sent by Milepost because your address is in its directory or its settings; answers are not read."


@dataclass(frozen=True)
class Letter:
    """What is to be read."""

    subject: str
    text: str
    html: str


def letter(topic: str, payload: Mapping[str, Any], link: str | None) -> Letter:
    """The e-mail about one output, by its payload."""
    data = payload["data"]
    if topic == REQUESTS:
        return _request(data, link)
    return many(topic, [payload])


def many(topic: str, payloads: Sequence[Mapping[str, Any]]) -> Letter:
    """One e-mail about retention events or dead letters that came together."""
    every = [payload["data"] for payload in payloads]
    if topic == DEAD_LETTER_TOPIC:
        counts = Counter(str(data["reason"]) for data in every)
        subject = f"{len(every)} dead letters" if len(every) > 1 else f"Dead letter: {every[0]['reason']}"
        opening = "Records came in that can never become an event. Nothing is lost: they wait to be put right."
        lines = [_dead_letter(data) for data in every]
    else:
        counts = Counter(f"{data['kind'].lower()} {data['currency']}" for data in every)
        subject = f"{len(every)} changes of retention" if len(every) > 1 else f"Retention {every[0]['kind'].lower()}"
        opening = "Money was withheld, or what was withheld has changed."
        lines = [_retention(data) for data in every]
    if len(every) == 1:
        subject += f": {every[0].get('engagement_id') or every[0].get('engagement_key') or 'no engagement'}"
    facts = [(what, str(count)) for what, count in sorted(counts.items())] if len(every) > 1 else []
    if len(lines) > _SPELT_OUT:
        lines = [*lines[:_SPELT_OUT], f"and {len(lines) - _SPELT_OUT} more"]
    return _written(subject, opening, facts, lines, None)


def _request(data: Mapping[str, Any], link: str | None) -> Letter:
    kind, role = data["kind"], data["role"]
    milestone = data["milestone_id"] + (f"/{data['occurrence_id']}" if data["occurrence_id"] else "")
    what = f"{milestone} of {data['engagement_id']}"
    amount = _money(data["gross_minor"], data)
    facts = [("Engagement", data["engagement_id"]), ("Milestone", milestone), ("Submission", str(data["submission"]))]
    if data["gross_minor"]:
        facts.append(("Amount", amount))
        what += f", {amount}"
    if data["due_at"]:
        label = "Was due by" if kind in ("DEEMED", "EXPIRED") else "Due by"
        facts.append((label, _moment(data["due_at"])))
    if data["criteria"]:
        facts.append(("Criteria", data["criteria"]))
    lines = [f"{piece['name']} ({piece['media_type']}, SHA-256 {piece['sha256']})" for piece in data["evidence"]]
    return _written(_SUBJECTS[kind].format(what=what), _OPENINGS[kind].format(role=role), facts, lines, link)


def _retention(data: Mapping[str, Any]) -> str:
    of = f", milestone {data['milestone_id']}" if data["milestone_id"] else ""
    amount, balance = _money(data["amount_minor"], data), _money(data["balance_minor"], data)
    return f"{data['engagement_id']}{of}: {amount} {data['kind'].lower()}, balance {balance}"


def _dead_letter(data: Mapping[str, Any]) -> str:
    where = f"{data['original_topic']}[{data['original_partition']}] offset {data['original_offset']}"
    return f"{data['reason']} from {where}, engagement {data['engagement_key']}: {data['message']}"


def _money(minor: int, data: Mapping[str, Any]) -> str:
    """1234567 EUR as "12,345.67 EUR"."""
    whole, point, cents = format_minor(minor, data["currency_exponent"]).partition(".")
    return (
        f"{int(whole):,}{point}{cents} {data['currency']}" if whole != "-0" else f"-0{point}{cents} {data['currency']}"
    )


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"


def _written(
    subject: str, opening: str, facts: Sequence[tuple[str, str]], lines: Sequence[str], link: str | None
) -> Letter:
    subject = plain(subject, _SUBJECT_LENGTH)
    parts = {
        "subject": subject,
        "opening": plain(opening, _VALUE_LENGTH),
        "facts": [(label, plain(value, _VALUE_LENGTH)) for label, value in facts],
        "list": [plain(line, _VALUE_LENGTH) for line in lines],
        "link": link,
        "closing": _CLOSING,
    }
    environment = _environment()
    text = environment.get_template("letter.txt").render(parts)
    html = environment.get_template("letter.html").render(parts)
    return Letter(subject, text, html)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("milepost.notices"),
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
