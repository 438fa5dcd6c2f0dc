"""Which action each route needs: the one table of who may do what, as data.

A key of `ACTIONS` is a method and a route's path as it stands in its decorator. A
route that is here needs an API key with that action; `OPEN` lists those that do not, each with what guards it
instead. A route in neither makes `create_app` fail.
"""

from typing import Final

from milepost.codec.event_files import TOPICS_OF_EVENTS

__all__ = ["ACTIONS", "OPEN"]

ACTIONS: Final[dict[str, str]] = {
    "GET /v1/whoami": "self:read",
    **{f"POST /v1/events/{topic}": f"events:{topic}" for topic in TOPICS_OF_EVENTS if topic != "clock-ticks"},
}
"""Action by route."""

OPEN: Final[dict[str, str]] = {
    "GET /live": "says nothing but that the process runs",
    "GET /ready": "says nothing but what is away",
}
"""What guards a route that takes no API key, by route."""
