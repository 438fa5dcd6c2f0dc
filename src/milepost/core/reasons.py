"""Why an event did not bill, in words for whoever sent it or asks about it: one sentence for each reason.

Each says what was found and what happens next; the codes are those of events.md.
"""

__all__ = ["GROUPS", "SENTENCES", "sentence"]

_REFUSED = {
    "DUPLICATE": "The same was said already; hearing it again changes nothing.",
    "SUPERSEDED": "Something newer about the same was known already, and stands.",
    "CONFLICTING_VALUES": "The same source said another value for the same period and revision before; the first "
    "stands. Send a correction with a higher revision.",
    "SEPARATION_OF_DUTIES": "The contract asks for different people: nobody signs two steps, and whoever reported the "
    "work cannot be the only one who signs it.",
    "STALE_SUBMISSION": "It is for a submission that was replaced by then. Decide on the one that is open.",
    "NOT_OPEN": "What it is about was not open at its time: a submission or a step of it, a dispute, or a role that "
    "signs here.",
    "LOWER_COMPLETION": "It reports less than is reported already. Send it as CORRECTED if less is right.",
    "CONFIRMATION_ID_REUSED": "The confirmation id belongs to another filing, and pays for one only.",
    "OUTSIDE_WINDOW": "Its date is outside the time in which it could count: after a deadline, or before the contract "
    "takes effect.",
    "ENGAGEMENT_CLOSED": "It is dated after the engagement was terminated.",
    "ALREADY_OPEN": "The engagement is open already. A change of its contract is an amendment.",
    "AMOUNT_TOO_HIGH": "More is disputed than is left of the line after its credits.",
    "NOT_USED": "Nothing in the contract looks at it. It is kept, in case an amendment does.",
}
_WAITING = {
    "RATE_NOT_FOUND": "No rate card has a rate for this payer and procedure at that time. It bills once one has.",
    "CONFIRMATION_ID_MISSING": "The regulator's decision came without its confirmation id. It counts once one with the "
    "id comes.",
    "CONFLICTING_DECISIONS": "The regulator decided two things at one time. None counts until a later decision comes.",
    "EVIDENCE_MISSING": "The contract asks for evidence that was not attached. Send it again with the evidence.",
    "SIGNOFF_WAITING": "The sign-off is kept, and takes effect when the last milestone that it waits for is accepted.",
    "NOT_TO_EXCEED": "The hours are recorded, but above what the contract allows. They bill if the limit is raised.",
    "PARTIAL_NOT_ALLOWED": "It reports less than the next part that can bill. What is missing to it is to be reported.",
    "SUBMISSION_WAITING": "It is kept until the submission that it is for opens, and counts then.",
}
_PARKED = {
    "NOT_OPEN_YET": "The engagement is not open yet. It is kept until its contract comes.",
    "UNKNOWN_MILESTONE": "The contract has no such milestone yet. It is kept until an amendment brings it; if the name "
    "is wrong, send it again with the right one.",
    "NOT_IN_ROLE": "The person does not hold the role at that time. It is kept, and counts if an amendment gives it to "
    "them.",
    "UNKNOWN_METER": "The contract has no rate of this name yet. It is kept until an amendment brings it.",
    "UNKNOWN_LINE": "There is no such invoice line yet. It is kept until the line is raised.",
}
_FLAGGED = {
    "GATE_RESTATED": "Something that the milestone was accepted by is said otherwise now, but not as of then. The "
    "money stands; somebody should look.",
    "DEPENDENCY_REVERSED": "A milestone that this one depended on was taken back after this one was accepted. The "
    "money stands; somebody should look.",
}
_DEAD = {
    "UNDECODABLE": "The record cannot be read as an event.",
    "UNKNOWN_SCHEMA": "The record names a schema that is not registered here.",
    "KEY_MISMATCH": "The record's key is not its engagement_id.",
    "INVALID_VALUE": "A field holds a value that can never mean anything.",
    "CONTRACT_INVALID": "The contract has errors, so the engagement was not opened.",
    "AMENDMENT_INVALID": "The amendment has errors, or cannot follow the contract in force.",
    "OCCURRENCE_MISSING": "The milestone repeats, and the event does not say which occurrence it is about.",
    "PARKING_FULL": "Too many events of this engagement wait already. Send it again once they are settled.",
    "FOLD_FAILED": "It could not be worked out; this is a fault of Milepost, not of the event.",
    "OUTPUT_REJECTED": "What came of it could not be written to the broker.",
}
GROUPS = {
    "Refused: understood, and without effect": _REFUSED,
    "Waits: understood and kept, until the rest comes": _WAITING,
    "Parked: kept, and tried again at each contract, amendment or line": _PARKED,
    "Flagged: the money stands, and somebody should look": _FLAGGED,
    "A dead letter: it can never mean anything as it is": _DEAD,
}
"""The sentences by what becomes of such an event."""

SENTENCES = {reason: said for group in GROUPS.values() for reason, said in group.items()}


def sentence(reason: str) -> str:
    """What a reason means; nothing where the word is all there is to say, as the kind of a line."""
    return SENTENCES.get(reason, "")
