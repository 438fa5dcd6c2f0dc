"""Which action each route needs: the one table of who may do what, as data.

A key of `ACTIONS` is a method and a route's path as it stands in its decorator. The action may name a parameter of the
path. A route that is here needs an API key with that action; `OPEN` lists those that do not, each with what guards it
instead. A route in neither makes `create_app` fail.
"""

from typing import Final

__all__ = ["ACTIONS", "OPEN"]

ACTIONS: Final[dict[str, str]] = {
    "GET /v1/whoami": "self:read",
    "POST /v1/events/{topic}": "events:{topic}",
}
"""Action by route."""

OPEN: Final[dict[str, str]] = {
    "GET /live": "says nothing but that the process runs",
    "GET /ready": "says nothing but what is away",
}
"""What guards a route that takes no API key, by route."""
