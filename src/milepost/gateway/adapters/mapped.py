"""Whatever sends JSON over HTTP, by a table that says where each field of an event stands in it.

    [[options.events]]
    topic = "milestone-events"
    each = "/deliverables"                                   # one event an item; without it one for the document
    when = [{ pointer = "/state", equals = ["done"] }]       # else the item is passed over

    [options.events.fields]
    event_id = { template = "{/id}:{/revision}" }
    engagement_id = "erp-rollout"
    milestone_id = { pointer = "/phase", map = { "Phase 1" = "assessment" } }
    kind = "REPORTED"
    occurred_at = { pointer = "/finished_at" }

    [options.events.attributes]                              # of a report
    cost_centre = { pointer = "/cost_centre", optional = true }

`source` is the endpoint's. Fields are those of docs/EVENTS; each is an expression (`expressions`).
"""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from milepost.codec.event_files import TOPICS_OF_EVENTS
from milepost.codec.registry import installed
from milepost.codec.shapes import RecordShape, record_shape
from milepost.codec.topics import TOPICS
from milepost.gateway.adapters.deliveries import Delivery, Finding, Gathering, Options, Translation
from milepost.gateway.adapters.expressions import Expression, Scope, evaluate, items

__all__ = ["Condition", "EventMapping", "MappedOptions", "translate"]

_MAPPABLE = tuple(topic for topic in TOPICS_OF_EVENTS if topic not in ("clock-ticks", "engagements"))
_WHOLE = ("int", "long")
_whole = re.compile(r"-?[0-9]{1,19}").fullmatch


class Condition(BaseModel):
    """An item counts when this expression gives one of these texts (missing is none of them)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pointer: str
    equals: tuple[str, ...] = Field(min_length=1)

    def holds(self, scope: Scope) -> bool:
        """Whether the item counts."""
        return evaluate(Expression(pointer=self.pointer, optional=True), scope) in self.equals

    @field_validator("pointer")
    @classmethod
    def _is_a_pointer(cls, value: str) -> str:
        Expression(pointer=value)
        return value


class EventMapping(BaseModel):
    """One kind of event that a delivery may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: str
    each: str | None = None
    when: tuple[Condition, ...] = ()
    fields: dict[str, Expression]
    attributes: dict[str, Expression] = {}
    evidence: tuple[dict[str, Expression], ...] = ()

    @model_validator(mode="after")
    def _fits_the_topic(self) -> "EventMapping":
        if self.topic not in _MAPPABLE:
            raise ValueError(f"topic {self.topic!r} takes no mapped events; expected one of {', '.join(_MAPPABLE)}")
        shape = _shape(self.topic)
        known = {field.name: field for field in shape.fields}
        plain = known.keys() - {"source", "evidence", "attributes"}
        if unknown := sorted(self.fields.keys() - plain):
            raise ValueError(f"{', '.join(unknown)}: no such field in {shape.name}; it has {', '.join(sorted(plain))}")
        if self.attributes and "attributes" not in known:
            raise ValueError(f"{shape.name} has no attributes")
        missing = [field.name for field in shape.fields if field.required and field.name in plain - self.fields.keys()]
        if missing:
            raise ValueError(f"{shape.name} needs {', '.join(missing)}")
        return self

    @field_validator("each")
    @classmethod
    def _is_a_pointer(cls, value: str | None) -> str | None:
        if value is not None:
            Expression(pointer=value)
        return value


class MappedOptions(Options):
    """The whole table."""

    events: tuple[EventMapping, ...] = Field(min_length=1, max_length=20)


def translate(options: MappedOptions, delivery: Delivery) -> Translation:
    """Events by the table."""
    gathering = Gathering()
    document = gathering.document(delivery.body)
    if document is not None:
        whole = Scope(document, document, delivery.headers)
        for mapping in options.events:
            scopes = items(mapping.each, whole)
            if isinstance(scopes, Finding):
                gathering.finding(*scopes)
                continue
            for scope in scopes:
                _translate_one(options, mapping, scope, gathering)
    return gathering.result()


def _translate_one(options: MappedOptions, mapping: EventMapping, scope: Scope, gathering: Gathering) -> None:
    unmet = [condition for condition in mapping.when if not condition.holds(scope)]
    if unmet:
        gathering.pass_over(f"{scope.at or 'the document'}: {unmet[0].pointer} is not {' or '.join(unmet[0].equals)}")
        return
    kinds = {field.name: (field.shape.nullable or field.shape).kind for field in _shape(mapping.topic).fields}
    found: list[Finding] = []
    value: dict[str, Any] = {"source": options.source}
    value |= {name: _number_of(kinds[name], text) for name, text in _texts(mapping.fields, scope, found).items()}
    if mapping.attributes:
        value["attributes"] = _texts(mapping.attributes, scope, found)
    if mapping.evidence:
        value["evidence"] = [
            {name: _number_of("long" if name == "size_bytes" else "string", text) for name, text in texts.items()}
            for texts in (_texts(item, scope, found) for item in mapping.evidence)
        ]
    for one in found:
        gathering.finding(*one)
    if not found:
        gathering.event(mapping.topic, value, scope.at)


def _texts(expressions: dict[str, Expression], scope: Scope, findings: list[Finding]) -> dict[str, str]:
    texts = {}
    for name, expression in expressions.items():
        found = evaluate(expression, scope)
        if isinstance(found, Finding):
            findings.append(Finding(found.pointer, f"{found.message} (for {name})"))
        elif found is not None:
            texts[name] = found
    return texts


def _number_of(kind: str, text: str) -> Any:
    """A whole number where the record wants one and there is one; its own reader says what is wrong otherwise."""
    return int(text) if kind in _WHOLE and _whole(text) else text


def _shape(topic: str) -> RecordShape:
    return record_shape(installed().current(TOPICS[topic].record).definition)
