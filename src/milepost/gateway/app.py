"""The application: every group of routes, and what holds for all of them."""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from milepost import __version__
from milepost.gateway import events, health, problems
from milepost.gateway.actions import ACTIONS, OPEN
from milepost.gateway.doors import Doors

__all__ = ["ROUTERS", "create_app", "routes"]

ROUTERS: tuple[APIRouter, ...] = (health.router, events.router)
"""Every group of routes; a group's paths are whole, `/v1` included."""


def create_app(doors: Doors) -> FastAPI:
    """The gateway's application. Raises `AssertionError` for a route that nobody said who may use it."""
    documented: dict[str, Any] = (
        {} if doors.settings.gateway_docs else {"openapi_url": None, "docs_url": None, "redoc_url": None}
    )
    app = FastAPI(title="Milepost", version=__version__, summary="Bills outcomes, exactly once", **documented)
    app.state.doors = doors
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    unsaid = {name for name, _ in routes()} ^ (ACTIONS.keys() | OPEN.keys())
    assert not unsaid, f"routes that do not stand once in gateway/actions.py: {', '.join(sorted(unsaid))}"
    return app


def routes() -> Iterator[tuple[str, APIRoute]]:
    """Every route as it stands in `actions`, method and path."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute), route
            for method in route.methods or ():
                yield f"{method} {route.path}", route
