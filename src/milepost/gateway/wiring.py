"""The one place where the gateway's parts meet: the socket, the application, Kafka and the database."""

from milepost.gateway.app import create_app
from milepost.gateway.doors import Doors
from milepost.gateway.service import Gateway, listening
from milepost.kafka.async_publishing import AsyncPublisher
from milepost.observe.hosting import StoppedError
from milepost.settings import Settings
from milepost.sql.engine import DatabaseError, connect

__all__ = ["SENDER", "gateway_service"]

SENDER = "milepost/gateway"


def gateway_service(settings: Settings) -> Gateway:
    """A gateway as the settings want it, not serving; make it inside the event loop that will run it.

    Raises `StoppedError` for a database that cannot be used and a port that is taken.
    """
    try:
        engine = connect(settings.database_url.get_secret_value())
    except DatabaseError as error:
        raise StoppedError(str(error)) from error
    listener = listening(settings.gateway_host, settings.gateway_port)
    publisher = AsyncPublisher(settings, SENDER, settings.gateway_ack_timeout_ms)
    doors = Doors(settings, engine, publisher)
    return Gateway(create_app(doors), doors, listener)
