"""One event from a request whose address says most of it: `POST .../milestones/build/trigger` with what is left to say.

The body is the event's JSON form without what the address, the key and the route decide (saying it again is a fault),
and without what may be left out:

- `event_id`: it follows from the `Idempotency-Key`; without one of the two, every request is a new event.
- `source`: `api:` and the key's name.
- the event's own time: that of the first try.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from starlette.responses import Response

from milepost.codec.json_schema import record_schema
from milepost.codec.topics import TOPICS
from milepost.gateway.accepting import Incoming
from milepost.gateway.access import Principal
from milepost.gateway.bodies import media_type, read
from milepost.gateway.describing import body
from milepost.gateway.doors import Doors
from milepost.gateway.idempotency import Once
from milepost.gateway.judging import event_of, refused
from milepost.gateway.problems import Fault, Problem, pointer
from milepost.gateway.sending import json_value, send

__all__ = ["Command", "source_of"]

Json = dict[str, Any]
# Stands where the gateway will put the time at which it first saw the event.
_LATER = "1970-01-01T00:00:00Z"


def source_of(caller: Principal) -> str:
    """What events of a key are from, where they do not say; the same before and after a rotation."""
    return f"api:{caller.name}"


@dataclass(frozen=True)
class Command:
    """A kind of event that a route sends: its topic, the field of its time, and which fields the route decides.

    `dated` False: the time is the gateway's alone. `defaults` may be given in the body.
    """

    topic: str
    dated_by: str
    decides: tuple[str, ...]
    defaults: Mapping[str, str] = field(default_factory=dict)
    dated: bool = True

    def described(self) -> Json:
        """`openapi_extra` of the route."""
        hidden = {*self.decides, *(() if self.dated else (self.dated_by,))}
        optional = {"event_id", "source", self.dated_by, *self.defaults}
        schema = record_schema(TOPICS[self.topic].record, without=hidden, optional=optional)
        return body({"application/json": {**schema, "title": f"{schema['title']}Request"}}, required=False)

    def incoming(self, value: Any, caller: Principal, once: Once, decided: Mapping[str, Any]) -> Incoming:
        """The event of a body. Raises `Problem` 422."""
        if not isinstance(value, dict):
            raise refused([Fault("", "expected an object", "INVALID_FORM")])
        closed = [*decided, *(() if self.dated else (self.dated_by,))]
        faults = [
            Fault(pointer(name), "the address or the key says this; leave it out", "DECIDED_ELSEWHERE")
            for name in closed
            if name in value
        ]
        if faults:
            raise refused(faults)
        left_out = self.dated_by not in value
        whole = {
            **self.defaults,
            "event_id": None,
            "source": source_of(caller),
            self.dated_by: _LATER,
            **value,
            **decided,
        }
        if whole["event_id"] is None:
            whole["event_id"] = once.event_id()
        event, wrong = event_of(self.topic, whole)
        if event is None:
            raise refused(wrong)
        return Incoming(self.topic, event, self.dated_by if left_out else None)

    async def run(
        self,
        request: Request,
        doors: Doors,
        caller: Principal,
        decided: Mapping[str, Any],
        look: "Callable[[Incoming], Any] | None" = None,
    ) -> Response:
        """Answer the request: 202 once Kafka has the event. `look` may await and raise before anything is sent."""
        raw = await read(request)
        once = Once.of(request, doors, caller, raw)

        async def act() -> Response:
            kind = media_type(request)
            if raw and kind not in ("", "application/json") and not kind.endswith("+json"):
                raise Problem(
                    415, "MEDIA_TYPE_NOT_TAKEN", "Media type", f"Content-Type is {kind[:80]!r}; send application/json"
                )
            incoming = self.incoming(json_value(raw) if raw.strip() else {}, caller, once, decided)
            if look is not None:
                await look(incoming)
            return await send(request, doors, caller, [incoming])

        return await once.answer(act)
