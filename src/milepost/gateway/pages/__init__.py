"""Pages for people: templates of this folder, with headers that let a browser do nothing but show them.

No script is needed or allowed; the style stands in the page and is admitted by its hash. Every text is escaped.
"""

import base64
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

__all__ = ["page"]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__name__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["style"] = Markup(_style())  # noqa: S704  # a file of our own
    return environment


@cache
def _style() -> str:
    return (resources.files(__name__) / "style.css").read_text(encoding="utf-8")


@cache
def _policy() -> str:
    digest = base64.b64encode(sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def page(template: str, status: int, headers: dict[str, str] | None = None, **texts: Any) -> HTMLResponse:
    """An answer made of a template of this folder. Raises `UndefinedError` for a text that the template misses."""
    body = _environment().get_template(template).render(**texts)
    return HTMLResponse(
        body,
        status,
        {
            "Content-Security-Policy": _policy(),
            # The address is the secret: no other site may learn it, and our own needs it for the Origin header.
            "Referrer-Policy": "same-origin",
            "Cache-Control": "no-store",
            "X-Robots-Tag": "noindex",
            **(headers or {}),
        },
    )
