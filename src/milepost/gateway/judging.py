"""What is wrong with an event before it is sent: its JSON form, its values, the contract that it carries.

The join would make dead letters of the same events; who sends over HTTP is told at once, with pointers, and nothing of
the request is published.
"""

import re
from collections.abc import Sequence
from typing import Any

from milepost.codec.json_forms import event_or_problems
from milepost.contract import Finding, parse_wire
from milepost.core.checks import check
from milepost.core.events import ClockTick, EngagementEvent, Event, InvoiceAcknowledgement
from milepost.gateway.problems import Fault, Problem, pointer, summary

__all__ = ["contract_faults", "event_of", "judged", "pointer_of", "refused"]

_CARRIERS = ("OPENED", "AMENDED")
_INDEX = re.compile(r"\[(\d+)\]|\[\"(.*?)\"\]|([^.\[\]]+)")


def event_of(topic: str, value: Any, at: str = "") -> tuple[Event | InvoiceAcknowledgement | None, list[Fault]]:
    """The event in a JSON value, or None and all its faults; `at` is the pointer of the value in the request's body."""
    event, wrong = event_or_problems(topic, value)
    if event is None:
        return None, [_fault(problem, at, "INVALID_FORM") for problem in wrong]
    faults = judged(event, at)
    return (None, faults) if faults else (event, [])


def judged(event: Event | InvoiceAcknowledgement, at: str = "") -> list[Fault]:
    """What is wrong with the values of an event, and with the contract in it."""
    assert not isinstance(event, ClockTick), "ticks are nobody's to send"
    message = check(event)
    if message is not None:
        return [_fault(message, at, "INVALID_VALUE")]
    if not isinstance(event, EngagementEvent) or event.change not in _CARRIERS:
        return []
    if event.contract is None:
        expected = f"null; {event.change} expects the whole document"
        return [Fault(at + "/contract", expected, "CONTRACT_MISSING")]
    parsed = parse_wire(event.contract)
    if parsed.contract is not None and parsed.contract.engagement != event.engagement_id:
        named = f'"{parsed.contract.engagement}"; expected the engagement_id "{event.engagement_id}"'
        return [Fault(at + "/contract/engagement", named, "KEY_MISMATCH")]
    return contract_faults(parsed.errors, at + "/contract")


def contract_faults(findings: Sequence[Finding], at: str = "") -> list[Fault]:
    """Findings of a contract as faults; `at` is the pointer of the document."""
    return [
        Fault(
            at + pointer_of(finding.path),
            (f"line {finding.line}: " if finding.line and not at else "")
            + finding.message
            + (f"; {finding.fix}" if finding.fix else ""),
            "CONTRACT_INVALID" if finding.severity == "error" else "CONTRACT_WARNING",
        )
        for finding in findings
    ]


def refused(faults: Sequence[Fault], what: str = "Invalid event") -> Problem:
    """422 with all the faults."""
    return Problem(422, faults[0].code, what, summary(faults), faults)


def pointer_of(path: str) -> str:
    """ "milestones[2].fee.fixed" as a JSON Pointer."""
    return pointer(*(index or quoted or name for index, quoted, name in _INDEX.findall(path)))


def _fault(problem: str, at: str, code: str) -> Fault:
    path, _, detail = problem.partition(": ")
    # A message about the whole value begins with the record's name.
    return Fault(at + ("" if path[:1].isupper() else pointer_of(path)), detail, code)
