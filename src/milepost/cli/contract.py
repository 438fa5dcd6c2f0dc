"""`milepost contract lint|show|graph|schema`: what is wrong with a contract, what it says, how it hangs together, and
what one may say at all.
"""

import json
import sys
from enum import StrEnum
from pathlib import Path

import msgspec
import typer

from milepost.contract import Parsed, parse
from milepost.contract.findings import Finding
from milepost.contract.picture import as_mermaid, as_text, draw
from milepost.contract.schema import schema_text
from milepost.contract.show import Section, as_plain, sections
from milepost.contract.svg import as_svg

__all__ = ["app", "read"]

app = typer.Typer(help="Check a contract, and show what it says.", no_args_is_help=True)

FILES = typer.Argument(..., metavar="FILE...", help="Contracts in YAML or JSON.")
FILE = typer.Argument(..., metavar="FILE", help="A contract in YAML or JSON.")
JSON = typer.Option(False, "--json", help="Print one JSON object.")


def read(file: Path) -> Parsed:
    """The contract in a file; one that cannot be opened or is no UTF-8 is an unreadable document, not an exception."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        return _unreadable(file, f"cannot be read: {error.strerror}", "give a file that exists and may be read")
    except UnicodeDecodeError as error:
        return _unreadable(
            file, f"is no UTF-8: byte {error.start} is {error.object[error.start]:#04x}", "save it as UTF-8"
        )
    return parse(text, source=str(file))


def _unreadable(file: Path, message: str, fix: str) -> Parsed:
    finding = Finding(severity="error", path="", line=None, message=message, fix=fix)
    return Parsed(source=str(file), contract=None, findings=(finding,), readable=False)


def _status(parsed: list[Parsed]) -> int:
    if not all(one.readable for one in parsed):
        return 2
    return 1 if any(one.errors for one in parsed) else 0


@app.command()
def lint(files: list[Path] = FILES, as_json: bool = JSON) -> None:
    """Print every finding; exit with 0 (warnings allowed), 1 for errors, 2 for a file that cannot be read or parsed."""
    parsed = [read(file) for file in files]
    if as_json:
        typer.echo(json.dumps({"files": [_lint_json(one) for one in parsed]}, indent=2, ensure_ascii=False))
        raise typer.Exit(_status(parsed))
    for one in parsed:
        for finding in one.findings:
            typer.echo(finding.text(one.source))
    errors, warnings = (
        sum(map(len, counts)) for counts in zip(*((one.errors, one.warnings) for one in parsed), strict=True)
    )
    typer.echo(f"{_count(len(parsed), 'contract')}: {_count(errors, 'error')}, {_count(warnings, 'warning')}", err=True)
    raise typer.Exit(_status(parsed))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _lint_json(parsed: Parsed) -> dict[str, object]:
    return {
        "file": parsed.source,
        "readable": parsed.readable,
        "accepted": parsed.contract is not None,
        "findings": [msgspec.to_builtins(finding) for finding in parsed.findings],
    }


@app.command()
def show(file: Path = FILE, as_json: bool = JSON) -> None:
    """Print a contract with its defaults filled in: parties, people, policies, milestones, gates, retention."""
    parsed = read(file)
    for finding in parsed.findings:
        typer.echo(finding.text(parsed.source), err=True)
    if parsed.contract is None:
        raise typer.Exit(_status([parsed]))
    if as_json:
        typer.echo(json.dumps(as_plain(parsed.contract), indent=2, ensure_ascii=False))
        return
    for section in sections(parsed.contract):
        if sys.stdout.isatty():
            _print_table(section)
        else:
            typer.echo("\n".join(_plain_table(section)) + "\n")


class Form(StrEnum):
    """How a graph is printed."""

    text = "text"
    mermaid = "mermaid"
    svg = "svg"


FORM = typer.Option(None, "--format", help="text, mermaid or svg; by default text on a terminal, else svg.")


@app.command()
def graph(file: Path = FILE, form: Form | None = FORM) -> None:
    """Print milestones, gates and money as a picture. Exit status as for `lint`."""
    parsed = read(file)
    if parsed.contract is None:
        for finding in parsed.findings:
            typer.echo(finding.text(parsed.source), err=True)
        raise typer.Exit(_status([parsed]))
    chosen = form or (Form.text if sys.stdout.isatty() else Form.svg)
    writers = {Form.text: as_text, Form.mermaid: as_mermaid, Form.svg: as_svg}
    typer.echo(writers[chosen](draw(parsed.contract)), nl=False)


def _plain_table(section: Section) -> list[str]:
    rows = [section.columns, *section.rows] if any(section.columns) else section.rows
    widths = [max(len(row[place]) for row in rows) for place in range(len(section.columns))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return [section.title, *(f"  {line}" for line in lines)]


def _print_table(section: Section) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(section.title), title_justify="left", show_header=any(section.columns))
    for column in section.columns:
        table.add_column(column, overflow="fold")
    for row in section.rows:
        table.add_row(*map(escape, row))
    Console().print(table)


@app.command()
def schema() -> None:
    """Print the JSON Schema of contracts, by which editors complete and check them (schemas/contract.schema.json)."""
    typer.echo(schema_text(), nl=False)
