"""The one place where the gateway's parts meet: the socket, the application, Kafka and the database."""

from milepost.gateway.app import create_app
from milepost.gateway.doors import Doors
from milepost.gateway.service import Gateway, listening
from milepost.kafka.async_publishing import AsyncPublisher
from milepost.observe import logs
from milepost.observe.hosting import StoppedError
from milepost.settings import Settings
from milepost.sql.engine import DatabaseError, connect
from milepost.store.evidence.port import StoreError

__all__ = ["SENDER", "gateway_service"]

SENDER = "milepost/gateway"

_log = logs.logger(__name__)


def gateway_service(settings: Settings) -> Gateway:
    """A gateway as the settings want it, not serving; make it inside the event loop that will run it.

    Raises `StoppedError` for a database or an evidence store that cannot be used, and for a port that is taken.
    """
    try:
        engine = connect(settings.database_url.get_secret_value())
    except DatabaseError as error:
        raise StoppedError(str(error)) from error
    publisher = AsyncPublisher(settings, SENDER, settings.gateway_ack_timeout_ms)
    doors = Doors(settings, engine, publisher)
    try:
        pruned = doors.receiver.prune()
    except StoreError as error:
        raise StoppedError(str(error)) from error
    if pruned:
        _log.info("removed what uploads had left that were cut off", files=pruned)
    return Gateway(create_app(doors), doors, listening(settings.gateway_host, settings.gateway_port))
