"""Files that commands are given: read whole, every fault printed before anything is done with them."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import typer

from milepost.cli.contract import read
from milepost.codec.event_files import EventFile, Fault, read_events
from milepost.contract.findings import Parsed
from milepost.contract.opening import opened
from milepost.core.events import EngagementEvent

__all__ = ["ContractFile", "Faults", "as_json_line", "read_contract", "read_event_file"]


class ContractFile(NamedTuple):
    """A contract's file as read; `text` is the document, empty where the file could not be read."""

    path: Path
    parsed: Parsed
    text: str

    def opening(self, source: str) -> EngagementEvent:
        """The event that opens the engagement. Only for a contract that was accepted."""
        assert self.parsed.contract is not None
        return opened(self.parsed.contract, self.text, source)


class Faults:
    """What was wrong with the files of one command. `status` is its exit status: 2 unreadable, 1 refused, 0 nothing."""

    def __init__(self) -> None:
        self.status = 0
        self.entries: list[dict[str, Any]] = []

    def add(self, fault: Fault) -> None:
        """A fault of an event file: it cannot be parsed."""
        self.status = 2
        self._say(fault.text(), fault.file, fault.line, "error", fault.path, fault.message)

    def look_at(self, parsed: Parsed) -> None:
        """The findings of a contract; warnings are said and change nothing."""
        for finding in parsed.findings:
            message = f"{finding.message}; {finding.fix}" if finding.fix else finding.message
            text = finding.text(parsed.source)
            self._say(text, parsed.source, finding.line, finding.severity, finding.path, message)
        if not parsed.readable:
            self.status = 2
        elif parsed.contract is None:
            self.status = max(self.status, 1)

    def _say(self, text: str, file: str, line: int | None, severity: str, path: str, message: str) -> None:
        typer.echo(text, err=True)
        self.entries.append({"file": file, "line": line, "severity": severity, "path": path, "message": message})


def read_contract(path: Path, faults: Faults) -> ContractFile:
    """Read and lint a contract; findings go to `faults`."""
    parsed = read(path)
    faults.look_at(parsed)
    text = path.read_bytes().decode("utf-8-sig") if parsed.contract is not None else ""
    return ContractFile(path, parsed, text)


def read_event_file(path: Path, faults: Faults) -> EventFile:
    """Read a file of events; faults go to `faults`."""
    found = read_events(path)
    for fault in found.faults:
        faults.add(fault)
    return found


def as_json_line(topic: str, value: object) -> str:
    """The form in which `simulate` and `tail` print a record, and in which event files hold one."""
    return json.dumps({"topic": topic, "value": value}, ensure_ascii=False, default=_number)


def _number(value: object) -> float:
    # A number that stands in a refused contract; nothing is computed from it.
    assert isinstance(value, Decimal)
    return float(value)
