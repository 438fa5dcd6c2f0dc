"""What an endpoint for webhooks is, as a TOML file says it (docs/WEBHOOKS.md), and everything that is wrong with one.

tenant = "lakeside"                # whose engagements; "*": any
engagements = ["hosting*"]         # which of them it may write, as patterns
adapter = "alertmanager"           # how its sender writes
proof = "bearer"                   # how its sender proves who it is
topics = ["kpi-events"]            # what it may write; by default what the adapter makes

[options]                          # the adapter's
source = "monitoring"              # under which name contracts know what it says
timezone = "America/Chicago"
"""

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from milepost.gateway.adapters import ADAPTERS
from milepost.gateway.adapters.deliveries import Options
from milepost.gateway.adapters.mapped import MappedOptions
from milepost.gateway.proofs import PROOFS
from milepost.sql.webhooks import Endpoint

__all__ = ["EndpointError", "check_id", "options_of", "read_endpoint"]

_id = re.compile(r"[a-z0-9][a-z0-9-]{0,62}").fullmatch


class EndpointError(Exception):
    """A file that makes no endpoint; the message has every fault, one a line."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str = Field(min_length=1, max_length=512)
    engagements: tuple[str, ...] = Field(min_length=1, max_length=100)
    adapter: str
    proof: str
    topics: tuple[str, ...] | None = Field(default=None, min_length=1)
    options: dict[str, Any]

    @model_validator(mode="after")
    def _fits_together(self) -> "_File":
        if self.adapter not in ADAPTERS:
            raise ValueError(f"adapter: {self.adapter!r} is none; expected one of {', '.join(ADAPTERS)}")
        if self.proof not in PROOFS:
            raise ValueError(f"proof: {self.proof!r} is none; expected one of {', '.join(PROOFS)}")
        if foreign := set(self.topics or ()) - set(ADAPTERS[self.adapter].topics):
            expected = ", ".join(ADAPTERS[self.adapter].topics)
            raise ValueError(f"topics: the adapter makes no events for {', '.join(sorted(foreign))}; only {expected}")
        if self.topics is None and self.adapter == "cloudevents":
            raise ValueError("topics: say which; a sender of CloudEvents could write to any, approvals included")
        return self


def check_id(endpoint_id: str) -> str:
    """The id, if it can stand in an address. Raises `EndpointError`."""
    if _id(endpoint_id) is None:
        raise EndpointError(f"{endpoint_id!r} is no id of an endpoint; expected 1 to 63 of a-z 0-9 -, no - in front")
    return endpoint_id


def read_endpoint(endpoint_id: str, text: str, now: int) -> Endpoint:
    """The endpoint that a TOML file describes, made at an instant. Raises `EndpointError`."""
    try:
        file = _File.model_validate(tomllib.loads(text))
        options = ADAPTERS[file.adapter].options.model_validate(file.options)
    except tomllib.TOMLDecodeError as error:
        raise EndpointError(f"is no TOML: {error}") from None
    except ValidationError as error:
        under = "options." if error.title != _File.__name__ else ""
        raise EndpointError("\n".join(_fault(fault, under) for fault in error.errors())) from None
    topics = file.topics or _topics(file.adapter, options)
    return Endpoint(
        check_id(endpoint_id), file.tenant, file.adapter, file.proof, file.engagements, topics, file.options, now
    )


def options_of(endpoint: Endpoint) -> Options:
    """What the endpoint says to its adapter."""
    return ADAPTERS[endpoint.adapter].options.model_validate(endpoint.options)


def _topics(adapter: str, options: Options) -> tuple[str, ...]:
    if isinstance(options, MappedOptions):
        return tuple(dict.fromkeys(mapping.topic for mapping in options.events))
    return ADAPTERS[adapter].topics


def _fault(fault: Mapping[str, Any], under: str) -> str:
    place = under + ".".join(str(part) for part in fault["loc"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
