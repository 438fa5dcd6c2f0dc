"""Which engagement a file of evidence was uploaded for: whoever may know of the engagement may read the file.

That a ledger row names a hash is not enough: anybody may send an event with any hash, and hashes are no secrets. Who
uploads a file for an engagement had its bytes.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from sqlalchemy import Engine, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from milepost.sql import tables
from milepost.sql.engine import reading, writing
from milepost.sql.gateway_tables import evidence_uses

__all__ = ["EvidenceUse", "Reference", "add_use", "referenced", "uploads_by", "used_in", "uses", "uses_of"]

_PATH = "/v1/evidence/"


class EvidenceUse(NamedTuple):
    """A file that was uploaded for an engagement. `uploaded_by` is "key ID" or "link ID"; `_at` in microseconds."""

    engagement_id: str
    sha256: str
    name: str
    media_type: str
    size_bytes: int
    uploaded_by: str
    uploaded_at: int


class Reference(NamedTuple):
    """A row of the ledger that names a file of this store; `row` is for people: "line 1f7c..."."""

    sha256: str
    row: str


def add_use(engine: Engine, use: EvidenceUse) -> bool:
    """Note an upload, and whether it is the first of this file for this engagement, which stays.

    Raises `UnavailableError`.
    """
    new = (postgresql_insert if engine.dialect.name == "postgresql" else sqlite_insert)(evidence_uses)
    with writing(engine) as connection:
        return connection.execute(new.on_conflict_do_nothing(), use._asdict()).rowcount == 1


def uses_of(engine: Engine, sha256: str) -> list[EvidenceUse]:
    """What a file was uploaded for, first things first. Raises `UnavailableError`."""
    column = evidence_uses.c
    query = select(evidence_uses).where(column.sha256 == sha256).order_by(column.uploaded_at, column.engagement_id)
    with reading(engine) as connection:
        return [EvidenceUse(**row) for row in connection.execute(query).mappings()]


def used_in(engine: Engine, engagement_id: str, hashes: Collection[str]) -> dict[str, EvidenceUse]:
    """Those of the files that were uploaded for an engagement, by hash. Raises `UnavailableError`."""
    column = evidence_uses.c
    query = select(evidence_uses).where(column.engagement_id == engagement_id, column.sha256.in_(sorted(hashes)))
    with reading(engine) as connection:
        return {row["sha256"]: EvidenceUse(**row) for row in connection.execute(query).mappings()}


def uploads_by(engine: Engine, engagement_id: str, uploaded_by: str) -> int:
    """How many files somebody uploaded for an engagement. Raises `UnavailableError`."""
    column = evidence_uses.c
    query = select(func.count()).where(column.engagement_id == engagement_id, column.uploaded_by == uploaded_by)
    with reading(engine) as connection:
        return connection.execute(query).scalar_one()


def uses(engine: Engine) -> Iterator[EvidenceUse]:
    """Every upload there was, by hash. Raises `UnavailableError`."""
    with reading(engine) as connection:
        for row in connection.execute(select(evidence_uses).order_by(evidence_uses.c.sha256)).mappings():
            yield EvidenceUse(**row)


def referenced(engine: Engine) -> Iterator[Reference]:
    """Every file of this store that a line or a request names, by its address; files elsewhere are not ours to check.

    Raises `UnavailableError`.
    """
    line, request = tables.invoice_lines.c, tables.approval_requests.c
    for what, id_, evidence in (
        ("line", line.line_id, line.evidence),
        ("request", request.request_id, request.evidence),
    ):
        with reading(engine) as connection:
            for found, pieces in connection.execution_options(yield_per=1_000).execute(select(id_, evidence)):
                for piece in pieces:
                    if piece["uri"].endswith(_PATH + piece["sha256"]):
                        yield Reference(piece["sha256"], f"{what} {found}")
