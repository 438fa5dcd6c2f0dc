"""The states of a milestone occurrence, as one table; `docs/LIFECYCLE.md` is generated from it.

A state is derived from facts, never stored and stepped, so that late facts can lead from any state to any that the
table allows. The fold asserts that each change is in the table.
"""

from milepost.core.claims import Assessment

__all__ = ["STATES", "TRANSITIONS", "derive"]

STATES = {
    "PENDING": "something in `requires` is missing",
    "SUBMITTED": "a submission waits for signatures",
    "APPROVED": "signed; a dependency is missing",
    "ACCEPTED": "gates and approvals are complete; billing is held back: suspended, or a fee of zero",
    "BILLED": "billed to `billed_completion`",
    "REJECTED": "a signer rejected, or a deadline passed; the next report opens the next submission",
    "CANCELLED": "the engagement ended first, or an amendment dropped it",
}

_PROGRESS = {
    ("PENDING", "SUBMITTED"): "`requires` holds",
    ("PENDING", "APPROVED"): "`requires` holds, the signatures were there or none are needed",
    ("PENDING", "ACCEPTED"): "everything holds",
    ("PENDING", "BILLED"): "everything holds",
    ("PENDING", "REJECTED"): "an early rejection ends the first submission as it opens",
    ("SUBMITTED", "APPROVED"): "the last signature",
    ("SUBMITTED", "ACCEPTED"): "the last signature",
    ("SUBMITTED", "BILLED"): "the last signature",
    ("SUBMITTED", "REJECTED"): "a rejection",
    ("APPROVED", "ACCEPTED"): "the last dependency",
    ("APPROVED", "BILLED"): "the last dependency",
    ("APPROVED", "REJECTED"): "a rejection before the dependency",
    ("APPROVED", "SUBMITTED"): "new content, or a signature taken back",
    ("ACCEPTED", "BILLED"): "resumed",
    ("ACCEPTED", "SUBMITTED"): "the next tier is reported",
    ("ACCEPTED", "APPROVED"): "the next tier is signed, a dependency is missing",
    ("ACCEPTED", "REJECTED"): "the next tier is rejected",
    ("BILLED", "SUBMITTED"): "the next tier is reported, or a late fact undoes the acceptance",
    ("BILLED", "APPROVED"): "the next tier is signed, or a late fact undoes a dependency",
    ("BILLED", "REJECTED"): "the next tier is rejected, or a rejection dated in time arrives late",
    ("BILLED", "ACCEPTED"): "accepted further while suspended",
    ("REJECTED", "SUBMITTED"): "the next report",
    ("REJECTED", "APPROVED"): "the next report, or a late signature dated before the rejection",
    ("REJECTED", "ACCEPTED"): "the next report, or a late signature dated before the rejection",
    ("REJECTED", "BILLED"): "the next report, or a late signature dated before the rejection",
}
_UNDONE = {
    (state, "PENDING"): "withdrawn, corrected below what can bill, or undone by a late fact"
    for state in ("SUBMITTED", "APPROVED", "ACCEPTED", "BILLED", "REJECTED")
}
_ENDED = {
    (state, "CANCELLED"): "terminated, or dropped by an amendment, before it was accepted"
    for state in ("PENDING", "SUBMITTED", "APPROVED", "ACCEPTED", "BILLED", "REJECTED")
}
_REVIVED = {
    **{
        ("CANCELLED", state): "a later amendment takes it up again"
        for state in ("PENDING", "SUBMITTED", "APPROVED", "REJECTED")
    },
    **{
        ("CANCELLED", state): "a late fact dated before the termination, or before the amendment that dropped it"
        for state in ("ACCEPTED", "BILLED")
    },
}

TRANSITIONS: dict[tuple[str, str], str] = {**_PROGRESS, **_UNDONE, **_ENDED, **_REVIVED}


def derive(found: Assessment, billed: bool, held_back: bool, terminated: bool) -> str:
    """The state that follows from an assessment.

    `billed`: something is billed; `held_back`: more is accepted than is billed, or there is nothing to bill.
    """
    current = found.current
    if not terminated:
        if current is not None:
            return "APPROVED" if current.ballot.complete else "SUBMITTED"
        last = found.submissions[-1] if found.submissions else None
        if last is not None and last.end in ("REJECTED", "TIMED_OUT"):
            return "REJECTED"
    if found.level > 0:
        return "BILLED" if billed and not held_back else "ACCEPTED"
    return "CANCELLED" if terminated else "PENDING"
