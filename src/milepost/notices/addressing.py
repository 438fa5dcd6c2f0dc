"""Who is told what: one message becomes the deliveries that are owed. Pure.

A delivery's id is the UUIDv5 of the output's id, the channel and the recipient: the same record read again, by any
instance, owes the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import NAMESPACE_OID, uuid5

from milepost.codec.topics import DEAD_LETTER_TOPIC
from milepost.core.ids import escape
from milepost.notices.channels import EMAIL, WEBHOOK
from milepost.notices.messages import RETENTION, Message
from milepost.sql.endpoints import Endpoint
from milepost.sql.notices import FAILED, OWED, Owed

__all__ = ["Recipients", "delivery_id", "owed_for"]

_NAMESPACE = uuid5(NAMESPACE_OID, "milepost")


@dataclass(frozen=True)
class Recipients:
    """Whom the operator wants told. `mail`: whether e-mails are sent at all; `addresses` are by topic.

    `bundle_us`: how long e-mails to configured addresses wait, so that what happens at once is told at once.
    """

    mail: bool
    addresses: Mapping[str, Sequence[str]]
    endpoints: Sequence[Endpoint]
    bundle_us: int

    @classmethod
    def of(
        cls, mail: bool, retention: str, dead_letters: str, endpoints: Sequence[Endpoint], bundle_ms: int
    ) -> "Recipients":
        """From settings, addresses with commas between them."""
        addresses = {RETENTION: _listed(retention), DEAD_LETTER_TOPIC: _listed(dead_letters)}
        return cls(mail, addresses, endpoints, bundle_ms * 1000)


def delivery_id(output_id: str, channel: str, recipient: str) -> str:
    """What the delivery is called everywhere: `webhook-id`, the first part of `Message-ID`, `notices show`."""
    return str(uuid5(_NAMESPACE, f"notice/{escape(output_id)}/{channel}/{escape(recipient)}"))


def owed_for(message: Message, recipients: Recipients, asked: Iterable[str], now: int) -> list[Owed]:
    """The deliveries of a message. `asked`: everybody who was asked about its step before."""
    owed: list[Owed] = []
    if recipients.mail:
        whole = message.payload()
        people = asked if message.to_all_asked else message.people
        owed += [_owed(message, EMAIL, person, None, whole, now, now) for person in people]
        due_at = now + recipients.bundle_us
        addresses = recipients.addresses.get(message.record.topic, ())
        owed += [_owed(message, EMAIL, address, address, whole, now, due_at) for address in addresses]
    taking = [each for each in recipients.endpoints if each.takes(message.type, message.engagement_id)]
    fitted = message.fitted_payload() if taking else ""
    for endpoint in taking:
        one = _owed(message, WEBHOOK, endpoint.endpoint_id, None, fitted, now, now)
        if endpoint.disabled_at is not None:
            # Kept, so that a replay finds it when the endpoint is back.
            one = one._replace(state=FAILED, reason=f"the endpoint is disabled: {endpoint.disabled_why}")
        owed.append(one)
    return owed


def _owed(
    message: Message, channel: str, recipient: str, address: str | None, payload: str, now: int, due_at: int
) -> Owed:
    return Owed(
        delivery_id=delivery_id(message.output_id, channel, recipient),
        output_id=message.output_id,
        topic=message.record.topic,
        kind=message.kind,
        engagement_id=message.engagement_id,
        step_id=message.step_id,
        channel=channel,
        recipient=recipient,
        address=address,
        payload=payload,
        record_partition=message.record.partition,
        record_offset=message.record.offset,
        recorded_at=message.recorded_at,
        owed_at=now,
        due_at=due_at,
        state=OWED,
    )


def _listed(addresses: str) -> tuple[str, ...]:
    return tuple(address.strip() for address in addresses.split(",") if address.strip())
