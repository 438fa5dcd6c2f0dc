"""Webhooks going out: signed as Standard Webhooks says, judged by the answer's status alone.

2xx is delivered. 410 means never again. 429, 502 and 504, and whatever comes with a Retry-After, ask for a pause of the
whole endpoint; so does one that cannot be reached, because the next delivery would fare no better. Everything else,
redirects included, is tried again.
"""

import asyncio

from milepost.codec.standard_webhooks import sign
from milepost.notices.channels import Outcome, plain
from milepost.notices.schedule import retry_after
from milepost.notices.signing import EndpointSecretError, EndpointSecrets
from milepost.outbound.calling import Answer, Caller, CallError
from milepost.sql.endpoints import endpoint_of
from milepost.sql.engine import Engine
from milepost.sql.notices import Claimed

__all__ = ["Hooks"]

_THROTTLED = (429, 502, 504)
# Without a Retry-After; long enough to be a relief, short enough to find out soon.
_PAUSE_US = 30_000_000
# No longer than the schedule's first wait.
_AWAY_PAUSE_US = 5_000_000
_AWAY = ("unreachable", "tls", "timeout")
_PEEK_BYTES = 2_048


class Hooks:
    """The channel to endpoints."""

    def __init__(self, engine: Engine, caller: Caller, secrets: EndpointSecrets) -> None:
        self._engine, self._caller, self._secrets = engine, caller, secrets

    async def attempt(self, claimed: Claimed, now: int) -> Outcome:
        """Post one webhook."""
        endpoint = await asyncio.to_thread(endpoint_of, self._engine, claimed.recipient)
        if endpoint is None:
            return Outcome("withdrawn", "removed", "the endpoint was removed")
        if endpoint.disabled_at is not None:
            return Outcome("failed", "disabled", f"the endpoint is disabled: {endpoint.disabled_why}")
        body = claimed.payload.encode()
        try:
            signed = sign(self._secrets.keys(endpoint, now), claimed.delivery_id, now // 1_000_000, body)
        except EndpointSecretError as error:
            return Outcome("retry", "unsigned", str(error))
        headers = {"content-type": "application/json", **signed}
        try:
            answer = await self._caller.call("POST", endpoint.url, body=body, headers=headers, limit_bytes=_PEEK_BYTES)
        except CallError as error:
            pause = now + _AWAY_PAUSE_US if error.reason in _AWAY else None
            return Outcome("retry", error.reason, plain(f"{error.reason}: {error}"), pause_until=pause)
        return _judged(answer, now)


def _judged(answer: Answer, now: int) -> Outcome:
    said = plain(f"{answer.status} {answer.body.decode('utf-8', 'replace')}")
    if 200 <= answer.status < 300:
        return Outcome("sent", "sent", said)
    why = f"status {answer.status // 100}xx"
    if answer.status == 410:
        return Outcome("failed", "gone", said, gone=True)
    wanted = retry_after(answer.headers.get("retry-after"), now)
    if wanted is None and answer.status in _THROTTLED:
        wanted = now + _PAUSE_US
    return Outcome("retry", why, said, not_before=wanted, pause_until=wanted)
