"""The dossier's page: one HTML file without scripts or anything from elsewhere, readable on paper too."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment

from milepost.audit.explaining import Explanation, Material
from milepost.core.calendar import instant_text
from milepost.core.money import format_minor
from milepost.core.outputs import InvoiceLine
from milepost.core.reasons import sentence

__all__ = ["page"]

_environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
_environment.filters["instant"] = lambda at: "" if at is None else instant_text(at)[:19].replace("T", " ") + " UTC"
_environment.filters["sentence"] = lambda reason: sentence(reason or "")


def page(
    engagement: str,
    made_at: str,
    contracts: dict[int, str],
    material: Material,
    events: Sequence[dict[str, Any]],
    explained: Sequence[tuple[str, Explanation]],
) -> str:
    """The page as HTML; everything that came from outside is escaped."""
    text = files("milepost.operations").joinpath("dossier_files", "dossier.html.jinja").read_text(encoding="utf-8")
    template = _environment.from_string(text)
    return template.render(
        engagement=engagement,
        made_at=made_at,
        versions=sorted(contracts),
        contracts=contracts,
        material=material,
        events=events,
        explained=explained,
        totals=_totals(material.lines),
        amount=lambda line, minor: format_minor(minor, line.currency_exponent),
    )


def _totals(lines: Sequence[InvoiceLine]) -> list[tuple[str, str, str, str]]:
    """Gross, retained and payable by currency."""
    found = []
    for currency in sorted({line.currency for line in lines}):
        own = [line for line in lines if line.currency == currency]
        sums = [sum(getattr(line, name) for line in own) for name in ("gross_minor", "retained_minor", "payable_minor")]
        gross, retained, payable = (format_minor(minor, own[0].currency_exponent) for minor in sums)
        found.append((currency, gross, retained, payable))
    return found
