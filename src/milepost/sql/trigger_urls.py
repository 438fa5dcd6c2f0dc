"""Addresses that report one milestone when they are called: for systems that can call a URL and nothing else.

A URL has one use. The first call is noted before anything is sent, and dates the report; whatever is called again, or
cut off in between, sends the same report or none. No token is stored (`milepost.sql.link_tokens`). Blocks; may be used
from several threads. Instants are microseconds since 1970 in UTC.
"""

import secrets
from dataclasses import asdict, dataclass

from sqlalchemy import Engine, insert, select, update

from milepost.sql import link_tokens
from milepost.sql.engine import reading, writing
from milepost.sql.link_tokens import LinkKeys
from milepost.sql.webhook_tables import trigger_urls

__all__ = ["TriggerUrl", "TriggerUrls"]

_NONCE_BYTES = 32
_urls = trigger_urls.c


@dataclass(frozen=True)
class TriggerUrl:
    """What a URL reports, and what became of it."""

    trigger_id: str
    engagement_id: str
    milestone_id: str
    occurrence_id: str | None
    completion: str
    source: str
    reported_by: str | None
    key_id: str
    nonce: str
    created_at: int
    expires_at: int
    revoked_at: int | None = None
    used_at: int | None = None
    published_at: int | None = None

    @property
    def scope(self) -> tuple[str | int | None, ...]:
        """What the token signs, beside the id and the random bits: a changed row opens nothing."""
        return (
            self.engagement_id,
            self.milestone_id,
            self.occurrence_id,
            self.completion,
            self.source,
            self.reported_by,
            self.expires_at,
        )


class TriggerUrls:
    """The trigger URLs of one database."""

    def __init__(self, engine: Engine, keys: LinkKeys) -> None:
        """`keys`: those for `link_tokens.TRIGGER`."""
        self._engine, self._keys = engine, keys

    def create(
        self,
        engagement_id: str,
        milestone_id: str,
        occurrence_id: str | None,
        completion: str,
        source: str,
        reported_by: str | None,
        now: int,
        expires_at: int,
    ) -> tuple[TriggerUrl, str]:
        """A new URL and its token, which is for the eyes of who calls it only. Raises `UnavailableError`."""
        url = TriggerUrl(
            secrets.token_hex(16),
            engagement_id,
            milestone_id,
            occurrence_id,
            completion,
            source,
            reported_by,
            self._keys.current,
            secrets.token_hex(_NONCE_BYTES),
            now,
            expires_at,
        )
        with writing(self._engine) as connection:
            connection.execute(insert(trigger_urls).values(**asdict(url)))
        return url, self._keys.token(url.key_id, url.trigger_id, url.nonce, url.scope)

    def look_up(self, token: str) -> TriggerUrl | None:
        """The URL that a token is for, used or expired as it may be; None for whatever is no token.

        Raises `UnavailableError`.
        """
        found = link_tokens.parse(token)
        url = self._read(found.link_id) if found is not None else None
        if url is None or found is None or not self._keys.verifies(found, url.key_id, url.nonce, url.scope):
            return None
        return url

    def use(self, trigger_id: str, now: int) -> TriggerUrl:
        """Note the first call; the URL as it is then: `used_at` is when that was. Raises `UnavailableError`."""
        with writing(self._engine) as connection:
            first = (_urls.trigger_id == trigger_id) & _urls.used_at.is_(None) & _urls.revoked_at.is_(None)
            connection.execute(update(trigger_urls).where(first).values(used_at=now))
            return TriggerUrl(
                **connection.execute(select(trigger_urls).where(_urls.trigger_id == trigger_id)).one()._mapping
            )

    def published(self, trigger_id: str, now: int) -> None:
        """Note that the topic has the report. Raises `UnavailableError`."""
        with writing(self._engine) as connection:
            unsaid = (_urls.trigger_id == trigger_id) & _urls.published_at.is_(None)
            connection.execute(update(trigger_urls).where(unsaid).values(published_at=now))

    def revoke(self, trigger_id: str, now: int) -> bool:
        """Let it do nothing any more; False if there is none that could. Raises `UnavailableError`."""
        with writing(self._engine) as connection:
            unused = (_urls.trigger_id == trigger_id) & _urls.used_at.is_(None) & _urls.revoked_at.is_(None)
            return connection.execute(update(trigger_urls).where(unused).values(revoked_at=now)).rowcount > 0

    def every(self) -> list[TriggerUrl]:
        """All of them, the oldest first. Raises `UnavailableError`."""
        with reading(self._engine) as connection:
            query = select(trigger_urls).order_by(_urls.created_at, _urls.trigger_id)
            return [TriggerUrl(**row._mapping) for row in connection.execute(query)]

    def _read(self, trigger_id: str) -> TriggerUrl | None:
        with reading(self._engine) as connection:
            row = connection.execute(select(trigger_urls).where(_urls.trigger_id == trigger_id)).first()
        return None if row is None else TriggerUrl(**row._mapping)
