"""The event that puts a contract's first version in force, made of the document alone."""

from milepost.contract.wire import to_wire
from milepost.core.calendar import start_of_day
from milepost.core.contract import Contract
from milepost.core.events import EngagementEvent

__all__ = ["opened"]


def opened(contract: Contract, text: str, source: str) -> EngagementEvent:
    """OPENED at the start of the contract's `effective_from`; `text` is the document, YAML or JSON.

    The same document gives the same event whenever it is sent, so that sending it twice opens it once.
    """
    return EngagementEvent(
        event_id=f"open:{contract.engagement}:{contract.version}",
        source=source,
        engagement_id=contract.engagement,
        change="OPENED",
        occurred_at=start_of_day(contract.effective_from, contract.timezone),
        contract=to_wire(text),
        terms=contract,
    )
