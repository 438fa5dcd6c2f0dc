"""What operators want to see of the database at a glance: sums and counts, computed anew each time."""

from typing import NamedTuple

from sqlalchemy import Connection, Engine, func, select, text

from milepost.sql import tables
from milepost.sql.engine import reading

__all__ = ["ERP_GRACE_DAYS", "Blocked", "Glance", "glance"]

ERP_GRACE_DAYS = 3
"""So long the ERP may say nothing about a line; a weekend and a day."""
_DAY_US = 86_400_000_000


class Blocked(NamedTuple):
    """Money at stake that a kind of gate keeps from being billed, in minor units, and since when at the longest."""

    gate: str
    currency: str
    exponent: int
    minor: int
    since: int | None


class Glance(NamedTuple):
    """`money`: minor units by (currency, exponent, kind); `dead`: open dead letters by reason; `dead_since` in
    microseconds; `differences`: what `operations.reconcile` says of the ERP, by kind."""

    money: dict[tuple[str, int, str], int]
    blocked: list[Blocked]
    approvals_open: int
    approvals_overdue: int
    dead: dict[str, int]
    dead_since: int | None
    differences: dict[str, int]


def glance(engine: Engine, now: int) -> Glance:
    """Everything as of one moment. Raises `UnavailableError`."""
    with reading(engine) as connection:
        is_open, overdue = _approvals(connection, now)
        dead, dead_since = _dead_letters(connection)
        differences = _differences(connection, now)
        return Glance(_money(connection), _blocked(connection), is_open, overdue, dead, dead_since, differences)


def _money(connection: Connection) -> dict[tuple[str, int, str], int]:
    line = tables.invoice_lines.c
    group = (line.currency, line.currency_exponent, line.kind)
    sums = (func.sum(line.gross_minor), func.sum(line.retained_minor), func.sum(line.payable_minor))
    found: dict[tuple[str, int, str], int] = {}
    for currency, exponent, kind, gross, retained, payable in connection.execute(
        select(*group, *sums).group_by(*group)
    ):
        parts = {"billed": gross, "retained": retained, "payable": payable}
        if kind == "CLAWBACK":
            parts["clawed_back"] = -gross
        if kind == "RETENTION_RELEASE":
            parts["released"] = payable
        for name, minor in parts.items():
            found[currency, exponent, name] = found.get((currency, exponent, name), 0) + int(minor)
    return found


# A gate is named KIND or KIND:NAME, alternatives with bars between them: the first one's kind stands for all.
_BLOCKED = {
    "postgresql": """
        SELECT split_part(split_part(gate ->> 'gate', '|', 1), ':', 1), currency, currency_exponent,
               sum(at_stake_minor), min((gate ->> 'since')::bigint)
        FROM milestone_status CROSS JOIN LATERAL jsonb_array_elements(missing) AS gate
        WHERE at_stake_minor > 0 AND currency IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2""",
    "sqlite": """
        SELECT substr(gate.value ->> 'gate', 1, min(instr((gate.value ->> 'gate') || ':', ':'),
                      instr((gate.value ->> 'gate') || '|', '|')) - 1) AS kind, currency, currency_exponent,
               sum(at_stake_minor), min(gate.value ->> 'since')
        FROM milestone_status, json_each(missing) AS gate
        WHERE at_stake_minor > 0 AND currency IS NOT NULL GROUP BY kind, currency, currency_exponent ORDER BY 1, 2""",
}
_SIGNATURES = {
    "postgresql": "milestone_status AS status CROSS JOIN LATERAL jsonb_array_elements(missing) AS gate(value)",
    "sqlite": "milestone_status AS status, json_each(missing) AS gate",
}


def _blocked(connection: Connection) -> list[Blocked]:
    rows = connection.execute(text(_BLOCKED[connection.dialect.name]))
    return [
        Blocked(gate, currency, exponent, int(minor), None if since is None else int(since))
        for gate, currency, exponent, minor, since in rows
    ]


def _approvals(connection: Connection, now: int) -> tuple[int, int]:
    """Signatures that a submission misses, and those of them that were asked for with a deadline which has passed."""
    source = _SIGNATURES[connection.dialect.name]
    query = f"""
        SELECT count(*), coalesce(sum(CASE WHEN EXISTS (
            SELECT 1 FROM approval_requests AS asked
            WHERE asked.engagement_id = status.engagement_id AND asked.milestone_id = status.milestone_id
              AND coalesce(asked.occurrence_id, '') = status.occurrence_id AND asked.submission = status.submission
              AND 'approval:' || asked.role = gate.value ->> 'gate' AND asked.due_at < :now) THEN 1 ELSE 0 END), 0)
        FROM {source} WHERE gate.value ->> 'gate' LIKE 'approval:%'"""  # noqa: S608 (our own words)
    row = connection.execute(text(query), {"now": now}).one()
    return int(row[0]), int(row[1])


def _dead_letters(connection: Connection) -> tuple[dict[str, int], int | None]:
    letter, action = tables.dead_letters.c, tables.operator_actions.c
    settled = select(action.sequence).where(
        (action.subject == letter.dead_letter_id) & action.action.in_(("REPLAYED", "DISCARDED"))
    )
    query = select(letter.reason, func.count(), func.min(letter.recorded_at)).where(~settled.exists())
    rows = connection.execute(query.group_by(letter.reason)).all()
    return {reason: int(count) for reason, count, _ in rows}, min((int(since) for *_, since in rows), default=None)


def _differences(connection: Connection, now: int) -> dict[str, int]:
    """Lines that the ERP refused and has not taken since, never answered, took twice, and that nobody raised."""
    line, said, later = tables.invoice_lines, tables.invoice_acknowledgements, tables.invoice_acknowledgements.alias()
    newer = select(later.c.line_id).where(
        (later.c.line_id == said.c.line_id)
        & (
            (later.c.occurred_at > said.c.occurred_at)
            | ((later.c.occurred_at == said.c.occurred_at) & (later.c.status == "ACCEPTED"))
        )
    )
    raised = select(line.c.line_id).where(line.c.line_id == said.c.line_id).exists()
    answered = select(said.c.line_id).where(said.c.line_id == line.c.line_id).exists()
    # An ERP that never acknowledged anything is not connected.
    connected = select(later.c.line_id).exists()
    late = line.c.accepted_at < now - ERP_GRACE_DAYS * _DAY_US
    lines = func.count(said.c.line_id.distinct())
    refused = later.c.status == "REJECTED"
    taken_back = select(later.c.line_id).where(
        (later.c.line_id == said.c.line_id) & refused & (later.c.occurred_at >= said.c.occurred_at)
    )
    standing = (said.c.status == "ACCEPTED") & ~taken_back.exists() & raised
    documents = func.count(said.c.document_number.distinct())
    twice = select(said.c.line_id).where(standing).group_by(said.c.line_id).having(documents > 1)
    queries = {
        "rejected": select(lines).where((said.c.status == "REJECTED") & ~newer.exists() & raised),
        "unanswered": select(func.count(line.c.line_id)).where(late & ~answered & connected),
        "unknown": select(lines).where(~raised),
        "twice": select(func.count()).select_from(twice.subquery()),
    }
    return {kind: int(connection.execute(query).scalar_one()) for kind, query in queries.items()}
