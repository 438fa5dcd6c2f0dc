"""From records to rows: after `store` a batch's notices are owed, whatever happens to this process."""

from collections.abc import Callable, Sequence

from milepost.codec.wire import Record
from milepost.notices.addressing import Recipients, owed_for
from milepost.notices.messages import Message, message_of
from milepost.observe import logs
from milepost.settings import Settings
from milepost.sql.asking import asked, settled_by
from milepost.sql.endpoints import endpoints
from milepost.sql.engine import Engine
from milepost.sql.notices import Owed, owe

__all__ = ["Storing"]

_log = logs.logger(__name__)


class Storing:
    """Stores what batches of records owe. Blocks; may be used from several threads."""

    def __init__(self, settings: Settings, engine: Engine, now: Callable[[], int]) -> None:
        self._settings, self._engine, self._now = settings, engine, now
        self._max_age_us = settings.notices_max_age_ms * 1000

    def store(self, records: Sequence[Record]) -> int:
        """Owe what the records tell; how many deliveries that are, those that were owed before included.

        Raises `UnreadableError`; `UnavailableError`: then nothing is stored.
        """
        now = self._now()
        messages = [message for message in map(message_of, records) if self._is_news(message, now)]
        if len(messages) < len(records):
            _log.info("old records are told to nobody", records=len(records) - len(messages), topic=records[0].topic)
        settings = self._settings
        recipients = Recipients.of(
            mail=bool(settings.smtp_host),
            retention=settings.notices_retention_to,
            dead_letters=settings.notices_dead_letters_to,
            endpoints=endpoints(self._engine) if messages else (),
            bundle_ms=settings.notices_bundle_ms,
        )
        known = asked(self._engine, [each.step_id for each in messages if each.to_all_asked and each.step_id])
        owed: list[Owed] = []
        for message in messages:
            step = known.setdefault(message.step_id or "", [])
            owed += owed_for(message, recipients, step, now)
            step += [person for person in message.people if person not in step]
        owe(self._engine, owed)
        return len(owed)

    def _is_news(self, message: Message, now: int) -> bool:
        """Whether anybody still wants to know: a first start reads topics from their beginning."""
        if message.recorded_at >= now - self._max_age_us:
            return True
        if message.request is None or message.step_id is None or not message.asks:
            return False
        return settled_by(self._engine, message.request, message.step_id) is None
