"""The contract in an engagement event, read and linted. The join and `simulate` both read it here."""

import msgspec

from milepost import contract
from milepost.core.events import EngagementEvent
from milepost.core.outputs import DeadLetter

__all__ = ["with_terms"]

_CARRIERS = {"OPENED": "CONTRACT_INVALID", "AMENDED": "AMENDMENT_INVALID"}


def with_terms(event: EngagementEvent) -> EngagementEvent | DeadLetter:
    """The event with `terms`, if it carries a contract that holds; a dead letter with every finding, if it does not.

    Warnings do not refuse a contract. Events that carry none (SIGNED_OFF, ...) come back as they are.
    """
    reason = _CARRIERS.get(event.change)
    if reason is None:
        return event
    if event.contract is None:
        return DeadLetter(
            reason=reason,
            message=f"contract: null; an {event.change} event carries the whole document as JSON text",
        )
    parsed = contract.parse_wire(event.contract, source="contract")
    if parsed.contract is None:
        findings = "; ".join(finding.text("contract") for finding in parsed.errors)
        return DeadLetter(reason=reason, message=findings or "contract: cannot be read; send the document as JSON text")
    if parsed.contract.engagement != event.engagement_id:
        return DeadLetter(
            reason=reason,
            message=f"contract: engagement is {parsed.contract.engagement!r}, but the event's engagement_id is "
            f"{event.engagement_id!r}; expected the same",
        )
    return msgspec.structs.replace(event, terms=parsed.contract)
