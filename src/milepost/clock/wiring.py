"""The one place where the clock's parts meet."""

from milepost.clock.service import ClockService
from milepost.settings import Settings

__all__ = ["clock_service"]


def clock_service(settings: Settings) -> ClockService:
    """An instance of the clock as the settings want it, not running; make it inside the event loop that will run it."""
    return ClockService(settings)
