"""What the routes say of themselves in the OpenAPI description: bodies, answers, problems, beside the code itself."""

from typing import Any

from milepost.codec.json_schema import record_schema
from milepost.gateway.problems import MEDIA_TYPE

__all__ = ["COMPONENTS", "FAULT", "PROBLEM_ANSWER", "answers", "body", "ref"]

Json = dict[str, Any]

FAULT: Json = {
    "type": "object",
    "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}, "code": {"type": "string"}},
    "required": ["pointer", "detail", "code"],
}
"""One entry of `errors`, and of `warnings`."""

PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457. `code` is for programs; `errors` has one entry for each fault, by JSON Pointer.",
    "properties": {
        "type": {"type": "string"},
        "status": {"type": "integer"},
        "title": {"type": "string"},
        "detail": {"type": "string"},
        "code": {"type": "string", "pattern": "^[A-Z0-9_]+$"},
        "error_count": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": FAULT,
        },
    },
    "required": ["type", "status", "title", "detail", "code"],
}

COMPONENTS: dict[str, Json] = {
    "Problem": PROBLEM,
    "Evidence": record_schema("MilestoneEvent")["properties"]["evidence"]["items"],
    "Accepted": {
        "type": "object",
        "description": "What Kafka has by now. `repeated` were known before and not sent again.",
        "properties": {
            "accepted": {"type": "integer", "minimum": 0},
            "repeated": {"type": "integer", "minimum": 0},
            "events": {
                "type": "array",
                "description": "Each event in the order of the request; left out of the answer to a batch.",
                "items": {
                    "type": "object",
                    "properties": {
                        "event_id": {"type": "string"},
                        "source": {"type": "string"},
                        "topic": {"type": "string"},
                        "repeated": {"type": "boolean"},
                        "partition": {"type": ["integer", "null"]},
                        "offset": {"type": ["integer", "null"]},
                    },
                    "required": ["event_id", "source", "topic", "repeated", "partition", "offset"],
                },
            },
        },
        "required": ["accepted", "repeated"],
    },
}
"""Schemas that routes refer to by name; a group of routes adds its own."""

_REASONS = {
    400: "The request is malformed",
    401: "No API key, or one that is not known, revoked or expired",
    403: "The key does not have the action",
    404: "There is no such thing for this key",
    406: "None of the media types in Accept is offered",
    408: "The body came too slowly",
    409: "An id or Idempotency-Key is taken, or the state does not allow it",
    413: "The body, the number of events, or one event is too large",
    415: "The body is compressed or of a media type that is not taken",
    422: "The content is wrong; `errors` says where",
    429: "Too many requests of this key; see Retry-After",
    503: "Kafka or the database is away; nothing was acknowledged",
}
READING = (400, 401, 403, 404, 406, 408, 413, 429, 503)
WRITING = (400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503)


def ref(name: str) -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


PROBLEM_ANSWER: Json = {
    "description": "A problem document says what is wrong",
    "content": {MEDIA_TYPE: {"schema": ref("Problem")}},
}
"""Whatever else goes wrong."""


def answers(status: int, schema: Json, description: str, *, writes: bool, csv: bool = False) -> dict[int | str, Json]:
    """FastAPI's `responses` of a route: its success and every problem that it may answer."""
    content: Json = {"application/json": {"schema": schema}}
    if csv:
        content["text/csv"] = {"schema": {"type": "string"}}
    codes = WRITING if writes else READING
    return {
        status: {"description": description, "content": content},
        **{code: {**PROBLEM_ANSWER, "description": _REASONS[code]} for code in codes},
    }


def body(content: dict[str, Json], *, required: bool = True) -> Json:
    """`openapi_extra` of a route that reads its body itself: a schema by media type, and the header for repeats."""
    return {
        "requestBody": {"required": required, "content": {kind: {"schema": one} for kind, one in content.items()}},
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "The request may be sent again with the same key and body, and is answered the same.",
                "schema": {"type": "string", "pattern": r'^("[ !#-\[\]-~]{1,255}"|[!#-\[\]-~]{1,255})$'},
            }
        ],
    }
