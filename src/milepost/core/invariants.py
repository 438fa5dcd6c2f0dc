"""What must hold after every event (rule 6). A fold that would break it raises: the event becomes a dead letter
(FOLD_FAILED), nothing of it is billed, and the engagement stays as it was."""

from milepost.core.facts import Account
from milepost.core.rules.retention import held_now

__all__ = ["ConservationError", "LifecycleError", "conserve"]


class ConservationError(AssertionError):
    """Money appeared or vanished."""


def conserve(engagement: str, account: Account) -> None:
    """Gross of all lines = payable of all lines + held now, and held is never negative. Raises ConservationError."""
    held = held_now(account)
    if account.gross_minor != account.payable_minor + held or held < 0:
        raise ConservationError(
            f"{engagement}: gross {account.gross_minor} is not payable {account.payable_minor} + held {held}"
        )
    if account.open_minor != held or (held == 0) != (account.first_hold == 0):
        raise ConservationError(f"{engagement}: the open holds add up to {account.open_minor}, not to {held}")


class LifecycleError(AssertionError):
    """A milestone changed to a state that its table does not lead to."""
