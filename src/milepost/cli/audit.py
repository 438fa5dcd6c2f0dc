"""`milepost audit`: engagements' audit trails as the ledger has them: shown, verified, signed, and exported."""

import json
import time
from pathlib import Path
from typing import NoReturn

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from milepost import settings
from milepost.audit import anchors, chain, contents
from milepost.audit.anchors import Anchored, Signed
from milepost.cli.database import reading_ledger
from milepost.cli.reconcile import progress
from milepost.cli.registry import adopted
from milepost.codec.json_forms import output_to_json
from milepost.core.calendar import instant_text
from milepost.core.outputs import AuditEntry
from milepost.core.reasons import sentence
from milepost.kafka.publishing import Publisher, PublishError
from milepost.kafka.scanning import ScanError
from milepost.operations.anchoring import AnchorError, Signer, anchor, compare_published, hashes_of, trusted_keys
from milepost.operations.dossier import gather, write
from milepost.sql import actions as acting
from milepost.sql import anchors as storing
from milepost.sql.engine import UnavailableError
from milepost.sql.reading import LedgerReading
from milepost.store.evidence.opening import open_store
from milepost.store.evidence.port import StoreError

__all__ = ["app"]

app = typer.Typer(help="What every event did, as the ledger has it.", no_args_is_help=True)

ENGAGEMENT = typer.Argument(..., metavar="ENGAGEMENT", help="The engagement's id.")
SOME = typer.Argument(None, metavar="[ENGAGEMENT]", help="The engagement's id; default: all of them.")
ANCHORS = typer.Option(
    None, "--anchors", metavar="FILE", help="Signed heads, one a line; default: those in the ledger."
)
TRUST = typer.Option(None, "--trust", metavar="HEX", help="Public keys; default: MILEPOST_ANCHOR_TRUSTED_KEYS.")
KEY = typer.Option(None, "--key", metavar="FILE", help="The private key; default: MILEPOST_ANCHOR_KEY_FILE.")
SEAL = typer.Option(
    None, "--key", metavar="FILE", help="Key that signs the dossier; default: MILEPOST_ANCHOR_KEY_FILE, else none."
)
FILE = typer.Option(None, "--file", metavar="FILE", help="Also append to this file; default: MILEPOST_ANCHOR_FILE.")
EVERY = typer.Option(
    False, "--keep-on", help="Stay, and sign every MILEPOST_ANCHOR_INTERVAL_S, until SIGTERM or Ctrl-C."
)
NEW = typer.Argument(..., metavar="FILE", help="Where the private key goes; must not exist.")
OUT = typer.Option(..., "--out", metavar="FILE", help="The zip to write.")
JSON = typer.Option(False, "--json", help="Print JSON instead of text.")


@app.command()
def show(engagement: str = ENGAGEMENT, as_json: bool = JSON) -> None:
    """Print the entries in order, in words where an event did not bill. Exit status 1: the ledger has none of this."""
    with reading_ledger() as ledger:
        entries = _entries(ledger, engagement)
    for entry in entries:
        value = output_to_json(entry)
        if as_json:
            typer.echo(json.dumps(value, ensure_ascii=False))
            continue
        subject = entry.line_id or entry.event_id or ""
        typer.echo(f"{entry.sequence:>6}  {value['occurred_at']}  {entry.what:<20} {entry.reason or '':<20} {subject}")
        if said := sentence(entry.reason or ""):
            typer.echo(f"{'':>8}{said}")


@app.command()
def verify(
    engagement: str | None = SOME, anchors_file: Path | None = ANCHORS, trust: list[str] = TRUST, as_json: bool = JSON
) -> None:
    """Recompute hash chains and compare them with the signed heads.

    Exit status 1: an entry was changed, removed, added or moved, a trail was cut off or written anew, or there is none.
    A chain alone cannot show the last two: keep signed heads elsewhere (`milepost audit anchor`), and name them here.
    """
    with reading_ledger() as ledger:
        heads, faults = _anchored(ledger, anchors_file, trust)
        names = [engagement] if engagement else sorted({*ledger.engagements(), *heads} - {anchors.OPERATORS})
        reports = []
        for name in names:
            entries = _entries(ledger, name) if engagement else ledger.audit(name)
            report = chain.verify(name, entries)
            own = heads.get(name, [])
            wrong = [*report.faults, *anchors.trail_faults(entries, own), *_content_faults(ledger, name, own)]
            reports.append((report, wrong))
        done = [] if engagement else acting.of(ledger.engine)
        signed_actions = [] if engagement else heads.get(anchors.OPERATORS, [])
    operators = [*acting.faults(done), *anchors.trail_faults(done, signed_actions)]
    faults += [f"operator actions: {fault}" for fault in operators]
    if as_json:
        found = [
            {
                "engagement_id": report.engagement_id,
                "entries": report.entries,
                "head": report.head,
                "signed_heads": len(heads.get(report.engagement_id, [])),
                "faults": wrong,
            }
            for report, wrong in reports
        ]
        whole = found[0] if engagement and not faults else {"engagements": found, "faults": faults}
        typer.echo(json.dumps(whole, ensure_ascii=False))
    else:
        for fault in [*faults, *(fault for _, wrong in reports for fault in wrong)]:
            typer.echo(fault)
        for report, wrong in reports:
            name, head, signed = report.engagement_id, report.head, len(heads.get(report.engagement_id, []))
            typer.echo(f"{name}: {report.entries} entries, {len(wrong)} faults, {signed} signed heads, head {head}")
    if faults or any(wrong for _, wrong in reports):
        raise typer.Exit(1)


@app.command("actions")
def actions_(as_json: bool = JSON) -> None:
    """Print what operators did by hand, in order: when, who, what, to which dead letter, why."""
    with reading_ledger() as ledger:
        found = acting.of(ledger.engine)
    for one in found:
        if as_json:
            typer.echo(json.dumps({**one._asdict(), "occurred_at": instant_text(one.occurred_at)}, ensure_ascii=False))
        else:
            at = instant_text(one.occurred_at)
            typer.echo(f"{one.sequence:>6}  {at}  {one.actor:<16} {one.action:<14} {one.subject}  {one.reason or ''}")


@app.command("new-key")
def new_key(
    file: Path = typer.Argument(..., metavar="FILE", help="Where the private key goes; must not exist."),
) -> None:
    """Make an ed25519 key for signing heads, and print its public key. Exit status 2: the file exists."""
    pem, public = anchors.new_key()
    try:
        file.touch(mode=0o600, exist_ok=False)
        file.write_bytes(pem)
    except OSError as error:
        typer.echo(f"{file} cannot be made: {error.strerror}", err=True)
        raise typer.Exit(2) from None
    typer.echo(public)


@app.command("anchor")
def anchor_(key: Path | None = KEY, file: Path | None = FILE, keep_on: bool = EVERY, as_json: bool = JSON) -> None:
    """Sign the heads of the audit trails that moved, and publish them on audit-anchors and to a file.

    Exit status 1: the clock went back, a trail does not go on from its head that was signed last, or file, topic and
    database have different anchors; 2: key, file, database or broker are away. With --keep-on it waits for file,
    database and broker, and answers on MILEPOST_METRICS_PORT like any process.
    """
    try:
        chosen = settings.load()
        signer = _signing_key(key, chosen.anchor_key_file)
        into = file or (Path(chosen.anchor_file) if chosen.anchor_file else None)
        if keep_on:
            _keep_on(signer, into)
        adopted(chosen)
        past = anchors.Past([anchors.public_key_of(signer), *trusted_keys(chosen)])
        with reading_ledger() as ledger:
            compare_published(chosen, ledger.engine)
            signing = Signer(ledger.engine, signer, hashes_of(chosen), past)
            count = anchor(signing, Publisher(chosen), into, int(time.time() * 1_000_000))
    except OSError as error:
        typer.echo(f"MILEPOST_ANCHOR_FILE or --file: {error}", err=True)
        raise typer.Exit(2) from None
    except (settings.SettingsError, UnavailableError, PublishError, ScanError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except AnchorError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    found = {"signed": count, "public_key": anchors.public_key_of(signer)}
    typer.echo(json.dumps(found) if as_json else f"{count} anchors signed by {found['public_key']}")


def _signing_key(named: Path | None, setting: str) -> Ed25519PrivateKey:
    try:
        if named is None and not setting:
            raise ValueError("no file is named")
        return anchors.read_key((named or Path(setting)).read_bytes())
    except (ValueError, OSError) as error:
        typer.echo(f"MILEPOST_ANCHOR_KEY_FILE or --key: {error}", err=True)
        raise typer.Exit(2) from None


def _keep_on(signer: Ed25519PrivateKey, into: Path | None) -> NoReturn:
    from milepost.operations.anchor_service import anchoring_service
    from milepost.processes import serve

    raise typer.Exit(serve(lambda chosen: anchoring_service(chosen, signer, into)))


@app.command()
def export(engagement: str = ENGAGEMENT, to: Path = OUT, key: Path | None = SEAL, as_json: bool = JSON) -> None:
    """Write everything about an engagement into a zip that a third party can read and check without Milepost.

    Terms, events as they were sent, decisions, evidence, lines with their arithmetic, the audit trail, signed heads, a
    page, and a script that verifies all of it offline. The anchors vouch for all that the ledger and the topics hold;
    for the rest, such as the page, the key does, and without one the script counts that as a fault. Exit status 1: the
    ledger has none of this engagement, or evidence is missing; 2: broker, database, schema registry, key or file are
    out of reach.
    """
    try:
        chosen = settings.load()
        signer = _signing_key(key, chosen.anchor_key_file) if key or chosen.anchor_key_file else None
        made_at = instant_text(int(time.time() * 1_000_000))
        schemas = adopted(chosen)
        with reading_ledger() as ledger, progress("collecting") as (_, step):
            _entries(ledger, engagement)
            dossier = gather(chosen, ledger, engagement, made_at, step, schemas)
            included = write(dossier, open_store(chosen), to, signer)
    except (settings.SettingsError, ScanError, StoreError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    if signer is None:
        typer.echo("the dossier is not signed: name the key with --key or MILEPOST_ANCHOR_KEY_FILE", err=True)
    for sha256 in included.missing:
        typer.echo(f"evidence {sha256} is not in the evidence store", err=True)
    found = {"file": str(to), "files": included.files, "evidence": included.evidence, "missing": included.missing}
    typer.echo(
        json.dumps(found) if as_json else f"{to}: {included.files} files, {included.evidence} pieces of evidence"
    )
    if included.missing:
        raise typer.Exit(1)


def _anchored(ledger: LedgerReading, file: Path | None, trust: list[str] | None) -> tuple[Anchored, list[str]]:
    trusted = trust or trusted_keys(settings.load())
    if file is None:
        texts = ledger.anchors()
    else:
        try:
            texts = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            typer.echo(f"{file} cannot be read: {error}", err=True)
            raise typer.Exit(2) from None
    if texts and not trusted:
        typer.echo("there are signed heads, but no key is trusted: --trust or MILEPOST_ANCHOR_TRUSTED_KEYS", err=True)
        raise typer.Exit(2)
    heads, faults = anchors.anchored(texts, trusted)
    if trusted and not texts:
        faults.append(
            "no head is signed although a key is trusted: `milepost audit anchor` never ran, or its anchors went"
        )
    return heads, faults


def _content_faults(ledger: LedgerReading, name: str, signed: list[Signed]) -> list[str]:
    bodies = storing.body_hashes(ledger.engine, name, {}) if signed else {}
    return contents.faults(((one.number, one.contents) for one in signed), bodies)


def _entries(ledger: LedgerReading, engagement: str) -> list[AuditEntry]:
    entries = ledger.audit(engagement)
    if not entries:
        typer.echo(f"the ledger has no audit entry of engagement {engagement!r}", err=True)
        raise typer.Exit(1)
    return entries
