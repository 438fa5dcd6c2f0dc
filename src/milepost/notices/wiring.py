"""The one place where the parts of notices meet: Kafka, the database, the mail server, the endpoints."""

import random
import time
from collections.abc import Callable

from milepost.notices.channels import EMAIL, WEBHOOK, Channel
from milepost.notices.deliveries import Deliveries
from milepost.notices.hooks import Hooks
from milepost.notices.mail import Mail
from milepost.notices.service import Notices
from milepost.notices.signing import EndpointSecrets
from milepost.notices.smtp import MailServer
from milepost.observe import logs
from milepost.observe.hosting import StoppedError
from milepost.outbound.calling import Caller
from milepost.settings import Settings
from milepost.sql.engine import DatabaseError, Engine, connect
from milepost.sql.links import LinkKeys, Links

__all__ = ["channels", "machine_us", "notices_service"]

# Of the shutdown's limit: what is left is for leaving the group and closing.
_GRACE_SHARE = 0.6

_log = logs.logger(__name__)


def machine_us() -> int:
    """This machine's time, microseconds since 1970."""
    return time.time_ns() // 1_000


def notices_service(settings: Settings, now: Callable[[], int] = machine_us) -> Notices:
    """An instance as the settings want it, not running; make it inside the event loop that will run it.

    Raises `StoppedError` for a database or a file of authorities that cannot be used.
    """
    try:
        engine = connect(settings.database_url.get_secret_value())
    except DatabaseError as error:
        raise StoppedError(str(error)) from error
    deliveries = Deliveries(
        engine,
        channels(settings, engine),
        now=now,
        chance=random.SystemRandom().random,
        timeout_s=settings.notices_timeout_ms / 1000,
        concurrency=settings.notices_concurrency,
        grace_s=settings.shutdown_timeout_ms / 1000 * _GRACE_SHARE,
    )
    return Notices(settings, engine, deliveries, now)


def channels(settings: Settings, engine: Engine) -> dict[str, Channel]:
    """The channels that the settings open, by name. Raises `StoppedError` for authorities that cannot be read."""
    found: dict[str, Channel] = {}
    try:
        if settings.smtp_host:
            server = MailServer.of(settings)
            found[EMAIL] = Mail(engine, server, settings.smtp_from, _links(settings, engine), settings.public_url)
        else:
            _log.warning("no e-mails are sent: MILEPOST_SMTP_HOST is not set")
        caller = Caller.of(settings, timeout_s=settings.notices_timeout_ms / 1000)
        found[WEBHOOK] = Hooks(engine, caller, EndpointSecrets.of(settings))
    except OSError as error:
        raise StoppedError(
            f"MILEPOST_SMTP_CA_FILE={settings.smtp_ca_file!r} or MILEPOST_OUTBOUND_CA_FILE="
            f"{settings.outbound_ca_file!r} is no readable PEM file of authorities: {error}"
        ) from error
    return found


def _links(settings: Settings, engine: Engine) -> Links | None:
    if not settings.link_secret.get_secret_value():
        _log.warning("e-mails carry no links: MILEPOST_LINK_SECRET is not set")
        return None
    return Links(engine, LinkKeys.of(settings), settings.link_lifetime_days)
