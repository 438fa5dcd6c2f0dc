"""Senders' formats, each a pure function from what was delivered to events or to findings; here by their names."""

from collections.abc import Callable
from typing import Any, NamedTuple

from milepost.gateway.adapters import alertmanager, cloudevents, fhir, filing_acknowledgements, mapped
from milepost.gateway.adapters.deliveries import Delivery, Options, Translation

__all__ = ["ADAPTERS", "Adapter"]


class Adapter(NamedTuple):
    """What an endpoint may say to it, the function, and the topics that its events are for."""

    options: type[Options]
    translate: Callable[[Any, Delivery], Translation]
    topics: tuple[str, ...]


_ANY = (
    "milestone-events",
    "kpi-events",
    "regulator-acceptances",
    "approvals",
    "usage-events",
    "dispute-events",
    "invoice-acknowledgements",
)

ADAPTERS: dict[str, Adapter] = {
    "alertmanager": Adapter(alertmanager.AlertmanagerOptions, alertmanager.translate, ("kpi-events",)),
    "cloudevents": Adapter(cloudevents.CloudEventsOptions, cloudevents.translate, ("engagements", *_ANY)),
    "fhir": Adapter(fhir.FhirOptions, fhir.translate, ("milestone-events", "regulator-acceptances")),
    "filing": Adapter(
        filing_acknowledgements.FilingOptions, filing_acknowledgements.translate, ("regulator-acceptances",)
    ),
    "mapped": Adapter(mapped.MappedOptions, mapped.translate, _ANY),
}
