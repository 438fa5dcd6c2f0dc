"""The one place where the join's parts meet: Kafka, codec, core and store."""

from milepost.codec.topics import HISTORY_TOPIC, INPUTS, OUTPUTS, STATE_TOPIC
from milepost.join.options import from_settings
from milepost.join.service import JoinService
from milepost.join.worker import Worker
from milepost.kafka.clients import KafkaLog
from milepost.outbound.schema_registry import schemas_of
from milepost.settings import Settings
from milepost.store.memory import MemoryStore

__all__ = ["join_service"]


def join_service(settings: Settings) -> JoinService:
    """A worker of the join as the settings want it, not running; make it inside the event loop that will run it."""
    options = from_settings(settings, INPUTS, OUTPUTS, STATE_TOPIC, HISTORY_TOPIC)
    return JoinService(KafkaLog(settings, schemas_of(settings)), Worker(), options, lambda number: MemoryStore())
