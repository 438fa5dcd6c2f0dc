"""The one place where the ledger's parts meet: Kafka, the database and the loop between them."""

from milepost.kafka.clients import KafkaLog
from milepost.ledger.service import Ledger
from milepost.observe.hosting import StoppedError
from milepost.outbound.schema_registry import schemas_of
from milepost.settings import Settings
from milepost.sql.engine import DatabaseError, connect

__all__ = ["ledger_service"]


def ledger_service(settings: Settings) -> Ledger:
    """A ledger as the settings want it, not running; make it inside the event loop that will run it.

    Raises `StoppedError` for a database that cannot be used.
    """
    try:
        engine = connect(settings.database_url.get_secret_value())
    except DatabaseError as error:
        raise StoppedError(str(error)) from error
    return Ledger(
        KafkaLog(settings, schemas_of(settings)),
        engine,
        group=settings.ledger_group,
        prefix=settings.topic_prefix,
        max_records=settings.max_records,
        poll_timeout_s=settings.poll_timeout_ms / 1000,
        ready_lag_records=settings.ready_lag_records,
        gauges_interval_s=settings.gauges_interval_s,
    )
