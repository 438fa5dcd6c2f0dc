"""The signatures that an amendment still needs, made up for a preview: whoever is asked signs, with all evidence."""

from collections.abc import Iterable

from milepost.codec.event_files import Line
from milepost.core.contract import Contract
from milepost.core.events import ApprovalDecision, Evidence
from milepost.core.facts import Account, account_key, contract_key
from milepost.core.outputs import ApprovalRequest
from milepost.core.parts import Staged
from milepost.core.terms import AMENDMENT
from milepost.join.simulation import Raised, fold_lines

__all__ = ["sign", "version_in_force"]

_ASKED = ("REQUESTED", "REMINDED", "ESCALATED")


def version_in_force(staged: Staged, engagement: str) -> int:
    """The version of an engagement's contract that is in force; 0 where it is not open."""
    account = staged.load(account_key(engagement), Account)
    return 0 if account is None else account.version


def sign(staged: Staged, engagement: str, version: int, at: int, raised: Iterable[Raised]) -> list[Raised]:
    """Sign an amendment at an instant until nobody is asked any more, or nobody is left; what that raises.

    `raised`: what its arrival did.
    """
    found: list[Raised] = []
    asked: dict[int, ApprovalRequest] = {}
    signed: list[tuple[int, str]] = []
    _note(asked, raised, version)
    while (turn := _next(asked, signed)) is not None:
        request, person = turn
        signed.append((request.step, person))
        decision = ApprovalDecision(
            f"preview-{len(signed)}",
            "preview",
            engagement,
            AMENDMENT,
            request.role,
            person,
            "APPROVED",
            at,
            occurrence_id=str(version),
            evidence=_evidence(staged, engagement),
        )
        more = list(fold_lines(staged, [Line(0, "approvals", {}, decision)]))
        _note(asked, more, version)
        found += more
    return found


def _note(asked: dict[int, ApprovalRequest], raised: Iterable[Raised], version: int) -> None:
    for one in raised:
        output = one.output
        if isinstance(output, ApprovalRequest) and (output.milestone_id, output.occurrence_id) == (
            AMENDMENT,
            str(version),
        ):
            asked[output.step] = output


def _next(asked: dict[int, ApprovalRequest], signed: list[tuple[int, str]]) -> tuple[ApprovalRequest, str] | None:
    """Whose turn it is: of a step with the fewest people left, whoever fewest other steps could need."""
    busy = {person for _, person in signed}
    open_now = [request for request in asked.values() if request.kind in _ASKED]
    for request in sorted(open_now, key=lambda one: (len(set(one.people) - busy), one.step)):
        left = [person for person in request.people if (request.step, person) not in signed]
        if left:
            wanted = [person for other in open_now for person in other.people]
            return request, min(left, key=lambda person: (person in busy, wanted.count(person), person))
    return None


def _evidence(staged: Staged, engagement: str) -> tuple[Evidence, ...]:
    """Whatever any step of any policy in force asks its signers to attach."""
    contract = staged.load(contract_key(engagement, version_in_force(staged, engagement)), Contract)
    steps = [step for policy in contract.policies.values() for step in policy.steps] if contract is not None else []
    names = sorted({name for step in steps for name in step.evidence})
    return tuple(Evidence(name, "text/plain", 0, "0" * 64, "preview:") for name in names)
