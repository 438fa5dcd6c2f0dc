"""From text to a contract: read the syntax, then every key, then the whole; all findings, never an exception.

A text whose first character is { is JSON, any other YAML. JSON in which nothing is wrong takes the quick way; the
careful one, which knows lines, is for what has to be explained.
"""

from milepost.contract import json_text, tree, yaml_text
from milepost.contract.document import read_contract
from milepost.contract.findings import Finding, Findings, Parsed
from milepost.contract.tree import Document

__all__ = ["parse", "parse_wire", "quick_document", "read_document"]

_JSON_SPACE = " \t\r\n"


def parse(text: str, *, source: str = "contract") -> Parsed:
    """Read a contract in YAML or JSON. `source` names it in messages. Never raises."""
    quick = _quick(text, source)
    if quick is not None:
        return quick
    document = read_document(text)
    findings = Findings(document.lines)
    for path, line, message, fix in document.findings:
        findings.error(path, message, fix, line=line)
    contract = read_contract(document.value, findings) if document.readable else None
    return Parsed(
        source=source,
        contract=None if findings.failed else contract,
        findings=findings.all(),
        readable=document.readable,
    )


def parse_wire(text: str, *, source: str = "contract") -> Parsed:
    """Read a contract as it travels in an event, which is JSON only: YAML costs a hundred times as much to read."""
    if text.lstrip(_JSON_SPACE).startswith("{"):
        return parse(text, source=source)
    found = tree.describe(text[:20]) if text.strip() else "no text"
    message = f"is no JSON object: begins with {found}"
    finding = Finding(severity="error", path="", line=1, message=message, fix="send the document as JSON text")
    return Parsed(source=source, contract=None, findings=(finding,), readable=False)


def read_document(text: str) -> Document:
    """The values of a text with the lines of their paths, by whichever syntax it is in. Never raises."""
    text = text.removeprefix("\ufeff")
    size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
    if size > tree.MAX_BYTES:
        return Document().unreadable(None, f"is {size} bytes long", f"a contract has {tree.MAX_BYTES} at most")
    if text.lstrip(_JSON_SPACE).startswith("{"):
        return json_text.read_json(text)
    document = yaml_text.read_yaml(text)
    if document.value is None and not document.findings:
        return document.unreadable(None, "is empty", "begin with milepost: 1")
    return document


def quick_document(text: str) -> Document | None:
    """A JSON text's values without lines; None for whatever `read_document` has to look at."""
    # A character takes 4 bytes at most; what lies between is for the careful reader to measure.
    if len(text) * 4 > tree.MAX_BYTES or not text.lstrip(_JSON_SPACE).startswith("{"):
        return None
    value = json_text.quick(text)
    if value is None:
        return None
    document = Document()
    document.value = value
    return document


def _quick(text: str, source: str) -> Parsed | None:
    """JSON without an error; None for everything else, and where a warning has to say its line."""
    document = quick_document(text)
    if document is None:
        return None
    one_line = "\n" not in text
    findings = Findings({(): 1} if one_line else None)
    contract = read_contract(document.value, findings)
    if findings.failed or (findings and not one_line):
        return None
    return Parsed(source=source, contract=contract, findings=findings.all())
