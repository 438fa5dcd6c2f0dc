"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a request that is sent again is answered again.

The key belongs to whoever sends it (a key's tenant and name, so that it outlives a rotation) and to one request: the
same key with another request is 422, with one that still runs 409, with one that was answered the same answer again.
Answers of success are kept for `KEPT_HOURS`; a request that was refused had no effect, and its key is free again. After
a 503 nobody knows whether Kafka has it: the key is free for the same request.

What keeps an event from being applied twice is its id (`accepting`), not this: where the sender gives none, it follows
from the key (`Once.event_id`), so that even a request which died between Kafka and its answer is repeated with the same
id.
"""

import asyncio
import hashlib
import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request
from starlette.responses import Response

from milepost.gateway.access import Principal
from milepost.gateway.doors import Doors
from milepost.gateway.problems import Problem
from milepost.observe import logs
from milepost.sql import idempotency
from milepost.sql.engine import UnavailableError

__all__ = ["KEPT_HOURS", "Once"]

KEPT_HOURS = 24
_HOUR_US = 3_600_000_000
# A request that is not answered by then has died with its process; longer than any acknowledgement takes.
_MARGIN_US = 20_000_000
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "milepost/idempotency-key")
# The draft's form is a string in quotes (RFC 8941); most senders leave them out.
_KEY = re.compile(r'"([\x20\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x5b\x5d-\x7e]{1,255})')

_log = logs.logger(__name__)


@dataclass(frozen=True)
class Once:
    """One request and its key, if it has one."""

    doors: Doors
    principal: str
    key: str | None
    request_sha256: str

    @classmethod
    def of(cls, request: Request, doors: Doors, caller: Principal, body: bytes) -> "Once":
        """Read the header. Raises `Problem` 400 for one that is no key."""
        given = request.headers.getlist("idempotency-key")
        found = _KEY.fullmatch(given[0].strip()) if len(given) == 1 else None
        if given and found is None:
            raise Problem(
                400,
                "INVALID_IDEMPOTENCY_KEY",
                "Bad request",
                "Idempotency-Key: expected one string of 1 to 255 printable ASCII characters, such as a UUID in quotes",
            )
        digest = hashlib.sha256()
        for part in (request.method, request.url.path, request.url.query, request.headers.get("content-type", "")):
            digest.update(f"{len(part)} {part} ".encode())
        digest.update(body)
        key = (found[1] or found[2]) if found is not None else None
        return cls(doors, f"{caller.tenant} {caller.name}", key, digest.hexdigest())

    def event_id(self) -> str:
        """An event's id where the sender gave none: of the key if there is one, else one that nobody has."""
        return str(uuid.uuid4() if self.key is None else uuid.uuid5(_NAMESPACE, f"{self.principal} {self.key}"))

    async def answer(self, act: Callable[[], Awaitable[Response]]) -> Response:
        """The answer of `act`, or the one that it gave before. Raises `Problem` 409 and 422, and what `act` raises."""
        if self.key is None:
            return await act()
        engine, now = self.doors.engine, self.doors.now()
        held_until = now + self.doors.settings.gateway_ack_timeout_ms * 1_000 + _MARGIN_US
        hold = await asyncio.to_thread(
            idempotency.hold,
            engine,
            self.principal,
            self.key,
            self.request_sha256,
            now,
            held_until,
            now + KEPT_HOURS * _HOUR_US,
        )
        if not hold.ours:
            return self._before(hold, now)
        try:
            response = await act()
        except BaseException:
            await self._quietly(idempotency.release, held_until)
            raise
        answer = idempotency.Answer(response.status_code, response.media_type or "", bytes(response.body))
        await self._quietly(idempotency.keep_answer, held_until, answer)
        return response

    def _before(self, hold: idempotency.Hold, now: int) -> Response:
        if hold.request_sha256 != self.request_sha256:
            raise Problem(
                422,
                "IDEMPOTENCY_KEY_REUSED",
                "Key used before",
                "this Idempotency-Key came before with another request; send a new key with a new request",
            )
        if hold.answer is None:
            wait_s = max(1, -(-(hold.held_until - now) // 1_000_000))
            raise Problem(
                409,
                "REQUEST_RUNNING",
                "Still running",
                "the first request with this Idempotency-Key is not answered yet",
                headers={"Retry-After": str(min(wait_s, 5))},
            )
        headers = {"Idempotent-Replayed": "true"}
        return Response(hold.answer.body, hold.answer.status, headers, hold.answer.content_type)

    async def _quietly(self, keep: Callable[..., None], *arguments: object) -> None:
        """What was done is done; if the database is away now, a repeat runs again, with the same event ids."""
        try:
            await asyncio.to_thread(keep, self.doors.engine, self.principal, self.key, *arguments)
        except UnavailableError as error:
            _log.warning("an answer is not kept by its Idempotency-Key", found=str(error))
