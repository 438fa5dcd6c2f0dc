"""A process that hosts the counting worker: what the tests kill. Arguments: topics' prefix is a setting, see below.

MILEPOST_* says which brokers, prefix and group; `python -m tests.join.counting_process` runs until SIGTERM.
"""

import sys

from milepost import settings
from milepost.join.options import from_settings
from milepost.join.service import JoinService
from milepost.kafka.clients import KafkaLog
from milepost.observe import hosting, logs
from milepost.store.memory import MemoryStore
from tests.join.world import INPUTS, OUTPUTS, STATE, CountingWorker


def service(chosen: settings.Settings) -> JoinService:
    """A counting worker on the brokers that the settings name."""
    options = from_settings(chosen, INPUTS, OUTPUTS, STATE)
    return JoinService(KafkaLog(chosen), CountingWorker(), options, lambda number: MemoryStore())


def main() -> int:
    chosen = settings.load()
    logs.configure("info", "json")
    return hosting.host([lambda: service(chosen)], shutdown_timeout_s=chosen.shutdown_timeout_ms / 1000)


if __name__ == "__main__":
    sys.exit(main())
