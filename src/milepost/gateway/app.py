"""The application: every group of routes, and what holds for all of them."""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.types import ASGIApp

from milepost import __version__
from milepost.gateway import (
    approvals,
    approve,
    disputes,
    engagements,
    events,
    evidence,
    explanations,
    health,
    milestones,
    problems,
    reading,
    trigger_urls,
    webhooks,
)
from milepost.gateway.actions import ACTIONS, OPEN
from milepost.gateway.describing import COMPONENTS, PROBLEM_ANSWER
from milepost.gateway.doors import Doors
from milepost.gateway.limits import Guard

__all__ = ["ROUTERS", "create_app", "routes"]

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    engagements.router,
    milestones.router,
    disputes.router,
    events.router,
    reading.router,
    explanations.router,
    evidence.router,
    webhooks.router,
    trigger_urls.router,
    approvals.router,
    approve.router,
)
"""Every group of routes; a group's paths are whole, `/v1` included."""


def create_app(doors: Doors) -> FastAPI:
    """The gateway's application. Raises `AssertionError` for a route that nobody said who may use it."""
    app = _Application(
        title="Milepost",
        version=__version__,
        summary="Bills outcomes, exactly once",
        openapi_url="/openapi.json" if doors.settings.gateway_docs else None,
        # An address with a slash more is another one; leading there would repeat what the Host header says.
        redirect_slashes=False,
        # Pages that load scripts from elsewhere are nothing for a gateway.
        docs_url=None,
        redoc_url=None,
    )
    app.state.doors = doors
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    unsaid = {name for name, _ in routes()} ^ (ACTIONS.keys() | OPEN.keys())
    assert not unsaid, f"routes that do not stand once in gateway/actions.py: {', '.join(sorted(unsaid))}"
    return app


_FASTAPIS_OWN = ("HTTPValidationError", "ValidationError")


class _Application(FastAPI):
    """FastAPI behind the guard; its description names what the routes refer to."""

    def build_middleware_stack(self) -> ASGIApp:
        """The guard stands before everything, so that what holds for every answer holds for a 500 as well."""
        return Guard(super().build_middleware_stack(), self.state.doors.settings)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI 3.1 document."""
        described = super().openapi()
        components = described.setdefault("components", {})
        schemas = components.get("schemas", {}) | COMPONENTS
        # By name: the order in which modules were imported is no news to a reader.
        components["schemas"] = {name: schemas[name] for name in sorted(schemas) if name not in _FASTAPIS_OWN}
        for operation in (one for path in described["paths"].values() for one in path.values()):
            # FastAPI's own form of 422, which no answer here has.
            if "422" in operation["responses"]:
                operation["responses"]["422"] = PROBLEM_ANSWER
            operation["responses"].setdefault("default", PROBLEM_ANSWER)
        return described


def routes() -> Iterator[tuple[str, APIRoute]]:
    """Every route as it stands in `actions`, method and path."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute), route
            for method in route.methods or ():
                yield f"{method} {route.path_format}", route
