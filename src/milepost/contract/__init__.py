"""The contract document: what people sign, read, linted and resolved into what the fold bills by."""

from milepost.contract.findings import Finding, Parsed
from milepost.contract.parse import parse, parse_wire
from milepost.contract.wire import NotJsonError, to_wire

__all__ = ["Finding", "NotJsonError", "Parsed", "parse", "parse_wire", "to_wire"]
