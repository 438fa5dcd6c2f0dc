"""Scenarios in the domain's words: `>` an event, `<` an output, `=` a total.

A file begins with comments that say what it shows and a `contract:` block in YAML, which is merged over `BASE` (null
leaves out what that has). Then come sentences; an occurrence is named `milestone#occurrence`; `amended N` brings
version N, whose differences are under `amendments: {N: ...}` in the head. `play` returns the file with its `<` and `=`
lines as the fold gives them, so that comparing (or rewriting) a file is comparing text.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ruamel.yaml import YAML

from milepost.contract import parse
from milepost.core.calendar import instant_text
from milepost.core.contract import Contract
from milepost.core.events import (
    ApprovalDecision,
    ClockTick,
    DisputeEvent,
    EngagementEvent,
    Event,
    Evidence,
    KpiEvent,
    MilestoneEvent,
    RegulatorDecision,
    UsageEvent,
)
from milepost.core.facts import Account, Place, account_key
from milepost.core.fold import Received, fold
from milepost.core.money import format_minor
from milepost.core.outputs import (
    ApprovalRequest,
    AuditEntry,
    DeadLetter,
    InvoiceLine,
    MilestoneStatus,
    Output,
    RetentionEvent,
)
from milepost.core.parts import Staged
from milepost.core.replay import Empty

BASE: dict[str, Any] = {
    "milepost": 1,
    "engagement": "eng",
    "version": 1,
    "customer": {"id": "acme"},
    "supplier": {"id": "northwind"},
    "currency": "EUR",
    "timezone": "Europe/Berlin",
    "effective_from": "2026-01-01",
    "people": {"lead": ["maria", "anna"], "ap": ["ana", "anna", "bob"], "cfo": ["carol"]},
    "approvals": {
        "dual": {"steps": [{"role": "lead"}, {"role": "ap"}]},
        "sequence": {"order": "sequential", "steps": [{"role": "lead"}, {"role": "ap"}]},
        "single": {"steps": [{"role": "ap"}]},
        "two-of-ap": {"steps": [{"role": "ap", "quorum": 2}]},
    },
    "retention": {"rate": "10", "release": [{"when": "signoff"}]},
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def contract_of(document: dict[str, Any]) -> Contract:
    """The contract of a document that must be right."""
    parsed = parse(json.dumps(document))
    assert parsed.contract is not None, parsed.findings
    return parsed.contract


@dataclass
class Stage:
    """The engagement as it is played."""

    contract: dict[str, Any]
    amendments: dict[str, Any] = field(default_factory=dict)
    staged: Staged = field(default_factory=lambda: Staged(Empty()))
    events: int = 0
    last: Received | None = None
    gross: dict[str, int] = field(default_factory=dict)
    told: list[Event] = field(default_factory=list)

    @property
    def exponent(self) -> int:
        return contract_of(self.contract).currency_exponent


def play(path: Path) -> str:
    """The scenario with its outputs and totals as the fold gives them now."""
    return _played(path)[1]


def events(path: Path) -> list[Event]:
    """What happens in the scenario, in the order of arrival; the first OPENED has its contract as `terms`."""
    return _played(path)[0].told


def _played(path: Path) -> tuple[Stage, str]:
    given = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in given if not line.startswith(("<", "="))]
    first = next(i for i, line in enumerate(kept) if line.startswith(">"))
    head = _head("\n".join(kept[:first]))
    contract = {**BASE, **(head.get("contract") or {})}
    stage = Stage({key: value for key, value in contract.items() if value is not None}, head.get("amendments") or {})
    written = kept[:first]
    for line in kept[first:]:
        written.append(line)
        if line.startswith(">"):
            written += [f"< {text}" for output in _fold(stage, line[1:]) for text in _sentences(output, stage.exponent)]
    while written and not written[-1].strip():
        written.pop()
    return stage, "\n".join([*written, "", *[f"= {text}" for text in _totals(stage)]]) + "\n"


def _head(text: str) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(YAML(typ="safe").load(StringIO(text)) or {}, default=str))
    return plain


def _fold(stage: Stage, sentence: str) -> list[Output]:
    words = shlex.split(sentence)
    if words == ["again"]:
        assert stage.last is not None
        received = stage.last
    else:
        stage.events += 1
        received = Received(_event(stage, words), "scenario", None, None, 0)
        stage.last = received
    outputs = fold(stage.staged, received)
    stage.told.append(received.event)
    for output in outputs:
        if isinstance(output, InvoiceLine) and output.gross_minor:
            hours = output.description.removesuffix(" (corrected)")
            name = _named(output.milestone_id, output.occurrence_id) if output.milestone_id else hours
            stage.gross[name] = stage.gross.get(name, 0) + output.gross_minor
    return outputs


def instant(text: str, zone: str) -> int:
    """ "2026-02-01" is noon of that day, "2026-02-01T23:30" that minute, both local; an offset may be given."""
    moment = datetime.fromisoformat(text if "T" in text else f"{text}T12:00")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return int((moment - _EPOCH).total_seconds()) * 1_000_000


def _event(stage: Stage, words: list[str]) -> Event:
    at = instant(words[0] if words[0] != "tick" else words[1], stage.contract["timezone"])
    if words[0] == "tick":
        return ClockTick(at)
    common: dict[str, Any] = {"event_id": f"e{stage.events}", "source": "test", "engagement_id": "eng"}
    options = dict(_options(words[1:]))
    common["source"] = options.pop("from", "test")
    for pattern, build in _GRAMMAR:
        match = re.fullmatch(pattern, " ".join(words[1 : _plain(words)]))
        if match:
            return build(stage, common, at, match.groupdict(), options)
    raise ValueError(f"no such sentence: {' '.join(words)}")


_OPTIONS = (
    "by",
    "with",
    "period",
    "provisional",
    "revision",
    "from",
    "unit",
    "submission",
    "hash",
    "certifies",
    "attributes",
    "confirmation",
    "sequence",
    "for",
    "until",
    "amount",
)


def _plain(words: list[str]) -> int:
    return next((i for i, word in enumerate(words) if i > 0 and word in _OPTIONS), len(words))


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    rest = words[_plain(["", *words]) - 1 :]
    while rest:
        flag = rest[0] == "provisional"
        yield rest[0], "" if flag else rest[1]
        rest = rest[1 if flag else 2 :]


def _evidence(options: dict[str, str]) -> tuple[Evidence, ...]:
    """`with report:a,plan:b`: two documents; the letter after the colon stands for their content."""
    named = [item.partition(":") for item in options.get("with", "").split(",") if item]
    return tuple(Evidence(n, "application/pdf", 1, (c or "a") * 64, f"s3://evidence/{n}") for n, _, c in named)


def _split(name: str) -> dict[str, str | None]:
    milestone, _, occurrence = name.partition("#")
    return {"milestone_id": milestone, "occurrence_id": occurrence or None}


def _named(milestone: str, occurrence: str | None) -> str:
    return f"{milestone}#{occurrence}" if occurrence else milestone


def _opened(stage: Stage, common: dict[str, Any], at: int, found: dict[str, Any], options: dict[str, str]) -> Event:
    terms = contract_of(stage.contract)
    return EngagementEvent(**common, change="OPENED", occurred_at=at, contract=json.dumps(stage.contract), terms=terms)


def _amended(stage: Stage, common: dict[str, Any], at: int, found: dict[str, Any], options: dict[str, str]) -> Event:
    document = {**stage.contract, "version": int(found["version"]), **stage.amendments[found["version"]]}
    terms = contract_of(document)
    return EngagementEvent(**common, change="AMENDED", occurred_at=at, contract=json.dumps(document), terms=terms)


def _change(stage: Stage, common: dict[str, Any], at: int, found: dict[str, Any], options: dict[str, str]) -> Event:
    change = found["change"].upper().replace(" ", "_")
    return EngagementEvent(**common, change=change, occurred_at=at, actor=options.get("by"))


def _report(stage: Stage, common: dict[str, Any], at: int, found: dict[str, Any], options: dict[str, str]) -> Event:
    return MilestoneEvent(
        **common,
        **_split(found["milestone"]),
        kind=found["kind"].upper(),
        occurred_at=at,
        completion=found["completion"] or "100",
        reported_by=options.get("by"),
        evidence=_evidence(options),
        attributes=dict(pair.split("=") for pair in options.get("attributes", "").split(",") if pair),
    )


def _decision(stage: Stage, common: dict[str, Any], at: int, found: dict[str, Any], options: dict[str, str]) -> Event:
    verbs = {"signs": "APPROVED", "rejects": "REJECTED", "withdraws": "WITHDRAWN"}
    return ApprovalDecision(
        **common,
        **_split(found["milestone"]),
        role=found["role"],
        approver=found["person"],
        decision=verbs[found["verb"]],
        decided_at=at,
        submission=int(options["submission"]) if "submission" in options else None,
        submission_hash=options.get("hash"),
        certified_completion=options.get("certifies"),
        evidence=_evidence(options),
    )


def _kpi(stage: Stage, common: dict[str, Any], at: int, found: dict[str, Any], options: dict[str, str]) -> Event:
    start, _, end = options.get("period", "").partition("..")
    return KpiEvent(
        **common,
        kpi_id=found["kpi"],
        value=found["value"],
        observed_at=at,
        unit=options.get("unit"),
        period_start=date.fromisoformat(start) if start else None,
        period_end=date.fromisoformat(end) if end else None,
        revision=int(options.get("revision", "1")),
        status="PROVISIONAL" if "provisional" in options else "FINAL",
    )


def _usage(stage: Stage, common: dict[str, Any], at: int, found: dict[str, Any], options: dict[str, str]) -> Event:
    return UsageEvent(
        **common,
        usage_id=found["usage"],
        meter=found["meter"],
        started_at=at,
        quantity=found.get("quantity"),
        ended_at=instant(options["until"], stage.contract["timezone"]) if "until" in options else None,
        revision=int(options.get("revision", "1")),
        milestone_id=options.get("for"),
    )


def _filing(stage: Stage, common: dict[str, Any], at: int, found: dict[str, Any], options: dict[str, str]) -> Event:
    return RegulatorDecision(
        **common,
        filing_id=found["filing"],
        regulator=found["regulator"],
        decision=found["decision"].upper(),
        decided_at=at,
        confirmation_id=options.get("confirmation"),
        sequence=int(options["sequence"]) if "sequence" in options else None,
        milestone_id=options.get("for"),
    )


def _dispute(stage: Stage, common: dict[str, Any], at: int, found: dict[str, Any], options: dict[str, str]) -> Event:
    """The line is named by occurrence, effect and revision: `M1/fee/1`, or by its id."""
    name, effect, revision = [*found["line"].split("/"), "", ""][:3]
    place = Place(*name.partition("#")[::2]) if "#" in name else Place(name)
    return DisputeEvent(
        **common,
        dispute_id=found["dispute"],
        line_id=place.identify("line", "eng", effect, int(revision)) if effect else found["line"],
        kind=found["kind"].upper(),
        occurred_at=at,
        amount_minor=int(options["amount"]) if "amount" in options else None,
    )


_Build = Callable[[Stage, dict[str, Any], int, dict[str, Any], dict[str, str]], Event]
_GRAMMAR: tuple[tuple[str, _Build], ...] = (
    (r"opened", _opened),
    (r"amended (?P<version>\d+)", _amended),
    (r"(?P<change>signed off|terminated|suspended|resumed)", _change),
    (r"(?P<milestone>\S+) (?P<kind>reported|corrected|withdrawn)(?: (?:to )?(?P<completion>\S+))?", _report),
    (r"(?P<person>\S+) (?P<verb>signs|rejects|withdraws) (?P<milestone>\S+) as (?P<role>\S+)", _decision),
    (r"kpi (?P<kpi>\S+) is (?P<value>\S+)", _kpi),
    (r"used (?P<quantity>\S+) of (?P<meter>\S+) in (?P<usage>\S+)", _usage),
    (r"worked as (?P<meter>\S+) in (?P<usage>\S+)", _usage),
    (r"(?P<regulator>\S+) (?P<decision>received|validated|accepted|rejected|revoked) (?P<filing>\S+)", _filing),
    (r"dispute (?P<dispute>\S+) of (?P<line>\S+) (?P<kind>opened|upheld|dismissed|withdrawn)", _dispute),
)


def _sentences(output: Output, exponent: int) -> list[str]:
    def money(minor: int) -> str:
        return format_minor(minor, exponent)

    if isinstance(output, InvoiceLine):
        name = _named(output.milestone_id or "", output.occurrence_id)
        subject = f"{name} to {output.completion} %" if output.milestone_id else output.description
        amounts = (
            f"gross {money(output.gross_minor)} retained {money(output.retained_minor)} "
            f"payable {money(output.payable_minor)}"
        )
        return [f"line {output.kind} {subject}: {amounts}; because of {', '.join(output.caused_by)}"]
    if isinstance(output, RetentionEvent):
        named = f", names {len(output.releases)}" if output.kind == "RELEASED" else ""
        return [f"{output.kind.lower()} {money(output.amount_minor)}, balance {money(output.balance_minor)}{named}"]
    if isinstance(output, ApprovalRequest):
        name = _named(output.milestone_id, output.occurrence_id)
        due = "" if output.due_at is None else f", before {instant_text(output.due_at)[:16]}"
        return [f"{output.kind.lower()} {output.role} for {name} submission {output.submission}{due}"]
    if isinstance(output, MilestoneStatus):
        missing = "; ".join(f"{m.detail}" for m in output.missing)
        parked = f"; parked {', '.join(output.parked)}" if output.parked else ""
        name = _named(output.milestone_id, output.occurrence_id)
        return [f"{name} {output.state}{': ' + missing if missing else ''}{parked}"]
    if isinstance(output, DeadLetter):
        return [f"dead letter {output.reason}: {output.message}"]
    if isinstance(output, AuditEntry) and output.what in ("REFUSED", "WAITING", "PARKED", "FLAGGED"):
        return [f"{output.what.lower()} {output.reason}"]
    return []


def _totals(stage: Stage) -> Iterator[str]:
    exponent = stage.exponent
    account = stage.staged.load(account_key("eng"), Account) or Account()
    for milestone, gross in sorted(stage.gross.items()):
        yield f"{milestone} {format_minor(gross, exponent)}"
    held = account.held_minor - account.released_minor
    yield (
        f"gross {format_minor(account.gross_minor, exponent)} payable {format_minor(account.payable_minor, exponent)} "
        f"held {format_minor(held, exponent)} released {format_minor(account.released_minor, exponent)}"
    )
