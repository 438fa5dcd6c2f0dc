"""Who is asked to sign what is open now: also whom an escalation added, for the original may still sign (rule 16)."""

from collections.abc import Iterable

from milepost.core.outputs import ApprovalRequest, MilestoneStatus

__all__ = ["asked_now"]

_ASKED = ("REQUESTED", "REMINDED", "ESCALATED")


def asked_now(status: MilestoneStatus, requests: Iterable[ApprovalRequest]) -> list[ApprovalRequest]:
    """The last request of each role that may sign the status's submission, by step, in the order of being asked."""
    steps: dict[int, dict[str, ApprovalRequest]] = {}
    for request in requests:
        where = (request.engagement_id, request.milestone_id, request.occurrence_id, request.submission)
        if where != (status.engagement_id, status.milestone_id, status.occurrence_id, status.submission):
            continue
        asked = steps.setdefault(request.step, {})
        if request.kind == "REQUESTED" or request.kind not in _ASKED:
            asked.clear()  # whoever was asked before: a request begins anew, and everything else is an end
        if request.kind in _ASKED:
            asked[request.role] = request
    return [request for _, asked in sorted(steps.items()) for request in asked.values()]
