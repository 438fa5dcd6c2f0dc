"""Approval links: one person, one role, one submission, one decision.

A link is issued for a request of the topic `approval-requests` and one of its people, for a mail or a page:

    links = Links(engine, LinkKeys.of(settings), settings.link_lifetime_days)
    token = links.issue(request, "ana", now=micros).token     # the page is PUBLIC_URL/approve/TOKEN

Issuing again (a redelivered request, a reminder, a second mail) gives the same token while nothing was decided by it,
so that `issue` may be repeated at will. Reading changes nothing; `decide` is taken once, and what was decided is kept
here until the topic has it (`unpublished`, `published`). No token is stored (`milepost.sql.link_tokens`).

Instants are microseconds since 1970 in UTC.
"""

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, select, update
from sqlalchemy.dialects import postgresql, sqlite

from milepost.core.outputs import ApprovalRequest
from milepost.sql import link_tokens
from milepost.sql.engine import reading, writing
from milepost.sql.link_tokens import LinkKeys
from milepost.sql.occurrences import ASKING, same
from milepost.sql.tables import approval_links

__all__ = ["Issued", "Link", "LinkKeys", "Links"]

_DAY_US = 86_400_000_000
_NONCE_BYTES = 32
_links = approval_links.c


@dataclass(frozen=True)
class Link:
    """What a link is for, and what became of it; `decision` and what follows are None while it is unused."""

    link_id: str
    request_id: str
    engagement_id: str
    milestone_id: str
    occurrence_id: str | None
    submission: int
    submission_hash: str
    step: int
    role: str
    person: str
    key_id: str
    nonce: str
    issued_at: int
    expires_at: int
    decision: str | None
    decided_at: int | None
    event: str | None
    published_at: int | None

    @property
    def scope(self) -> tuple[str | int | None, ...]:
        """What the token signs, beside the link's id and its random bits."""
        return (
            self.engagement_id,
            self.milestone_id,
            self.occurrence_id,
            self.submission,
            self.submission_hash,
            self.step,
            self.role,
            self.person,
        )


@dataclass(frozen=True)
class Issued:
    """A link with its token, which is for the eyes of `link.person` only: no log, no metric, no other table."""

    link: Link
    token: str

    def __repr__(self) -> str:
        return f"Issued({self.link.link_id}, token=...)"


class Links:
    """The links of one database. Blocks; may be used from several threads."""

    def __init__(self, engine: Engine, keys: LinkKeys, lifetime_days: int) -> None:
        """`lifetime_days`: how long a link opens after it was issued, or after its request's deadline if later."""
        self._engine, self._keys, self._lifetime_us = engine, keys, lifetime_days * _DAY_US

    def issue(self, request: ApprovalRequest, person: str, now: int) -> Issued:
        """The link for a request and one of its people; the same one again while it is unused.

        Raises ValueError for a person who was not asked and for a request that asks nobody (GRANTED, ...);
        `UnavailableError`.
        """
        if request.kind not in ASKING:
            raise ValueError(f"request {request.request_id} is {request.kind}; a link is for {', '.join(ASKING)}")
        if person not in request.people:
            raise ValueError(f"request {request.request_id} asks {', '.join(request.people)}, not {person!r}")
        expires_at = max(now, request.due_at or now) + self._lifetime_us
        with writing(self._engine) as connection:
            link = self._of_request(connection, request, person) or self._unused(connection, request, person)
            if link is None:
                link = self._add(connection, request, person, now, expires_at)
            changes: dict[str, Any] = {}
            if link.decided_at is None and link.expires_at < expires_at:
                changes["expires_at"] = expires_at
            if link.key_id not in self._keys:
                changes["key_id"] = self._keys.current  # its secret was retired, so nobody holds a token that opens
            if changes:
                connection.execute(update(approval_links).where(_links.link_id == link.link_id).values(**changes))
                link = self._read(connection, link.link_id)
        return Issued(link, self._keys.token(link.key_id, link.link_id, link.nonce, link.scope))

    def look_up(self, token: str) -> Link | None:
        """The link that a token opens, used or expired as it may be; None for whatever opens nothing.

        Raises `UnavailableError`.
        """
        found = link_tokens.parse(token)
        if found is None:
            return None
        with reading(self._engine) as connection:
            row = connection.execute(select(approval_links).where(_links.link_id == found.link_id)).first()
        link = _link(row)
        return link if link and self._keys.verifies(found, link.key_id, link.nonce, link.scope) else None

    def decide(self, link_id: str, decision: str, event: str, now: int) -> Link:
        """Take a decision, if none was taken; the link as it is then: `event` tells whose decision it was.

        `event` is the whole event as it will be sent, in JSON. KeyError for an unknown link; `UnavailableError`.
        """
        with writing(self._engine) as connection:
            connection.execute(
                update(approval_links)
                .where(_links.link_id == link_id, _links.decided_at.is_(None))
                .values(decision=decision, event=event, decided_at=now)
            )
            return self._read(connection, link_id)

    def published(self, link_id: str, now: int) -> Link:
        """Note that the topic has the decision; the first time counts. KeyError; `UnavailableError`."""
        with writing(self._engine) as connection:
            connection.execute(
                update(approval_links)
                .where(_links.link_id == link_id, _links.published_at.is_(None), _links.decided_at.is_not(None))
                .values(published_at=now)
            )
            return self._read(connection, link_id)

    def unpublished(self, decided_before: int, limit: int = 100) -> list[Link]:
        """Decisions that were taken before an instant and are not known to be in the topic, oldest first."""
        query = (
            select(approval_links)
            .where(_links.decided_at.is_not(None), _links.published_at.is_(None), _links.decided_at < decided_before)
            .order_by(_links.decided_at)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [link for row in connection.execute(query) if (link := _link(row))]

    def decided(self, engagement_id: str, milestone_id: str, occurrence_id: str | None) -> list[Link]:
        """What was decided by links on one occurrence, in order of time. Raises `UnavailableError`."""
        query = (
            select(approval_links)
            .where(
                _links.engagement_id == engagement_id,
                _links.milestone_id == milestone_id,
                same(_links.occurrence_id, occurrence_id),
                _links.decided_at.is_not(None),
            )
            .order_by(_links.decided_at, _links.link_id)
        )
        with reading(self._engine) as connection:
            return [link for row in connection.execute(query) if (link := _link(row))]

    @staticmethod
    def _read(connection: Connection, link_id: str) -> Link:
        link = _link(connection.execute(select(approval_links).where(_links.link_id == link_id)).first())
        if link is None:
            raise KeyError(f"no link {link_id}")
        return link

    @staticmethod
    def _of_request(connection: Connection, request: ApprovalRequest, person: str) -> Link | None:
        query = select(approval_links).where(_links.request_id == request.request_id, _links.person == person)
        return _link(connection.execute(query).first())

    @staticmethod
    def _unused(connection: Connection, request: ApprovalRequest, person: str) -> Link | None:
        """The newest link of the same scope that nothing was decided by: what a reminder repeats."""
        query = (
            select(approval_links)
            .where(
                _links.engagement_id == request.engagement_id,
                _links.milestone_id == request.milestone_id,
                same(_links.occurrence_id, request.occurrence_id),
                _links.submission == request.submission,
                _links.submission_hash == request.submission_hash,
                _links.step == request.step,
                _links.role == request.role,
                _links.person == person,
                _links.decided_at.is_(None),
            )
            .order_by(_links.issued_at.desc(), _links.link_id)
            .limit(1)
        )
        return _link(connection.execute(query).first())

    def _add(self, connection: Connection, request: ApprovalRequest, person: str, now: int, expires_at: int) -> Link:
        values = {
            name: getattr(request, name)
            for name in (
                "request_id",
                "engagement_id",
                "milestone_id",
                "occurrence_id",
                "submission",
                "submission_hash",
                "step",
                "role",
            )
        }
        values |= {
            "link_id": secrets.token_hex(16),
            "person": person,
            "key_id": self._keys.current,
            "nonce": secrets.token_hex(_NONCE_BYTES),
            "issued_at": now,
            "expires_at": expires_at,
        }
        # Two processes may issue it at the same moment; the second takes the first one's.
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(approval_links).values(**values).on_conflict_do_nothing())
        link = self._of_request(connection, request, person)
        assert link is not None
        return link


def _link(row: Row[Any] | None) -> Link | None:
    return None if row is None else Link(**row._mapping)
