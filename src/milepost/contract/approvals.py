"""Policies: who signs, in which order, by when, and what silence means."""

from milepost.contract.durations import read_duration
from milepost.contract.findings import Path
from milepost.contract.keys import APPROVAL_OF, ESCALATION, POLICY, STEP
from milepost.contract.tree import Value
from milepost.contract.values import Reader
from milepost.contract.words import ORDERS, OUTCOMES
from milepost.core import contract as terms

__all__ = ["MAX_POLICIES", "MAX_STEPS", "read_approval", "read_approval_of", "read_policies"]

# Whether a policy can be satisfied is decided over all subsets of its steps.
MAX_STEPS = 10
MAX_POLICIES = 100

# The escalations one after the other, and what the last of them ends in.
Outcome = tuple[tuple[terms.Escalation, ...], str | None]


def read_policies(read: Reader, value: Value, path: Path) -> dict[str, terms.Policy | None]:
    """Policies, sorted by name; None where one has a fault."""
    found = read.named(value, path, "a mapping of names to policies")
    if len(found) > MAX_POLICIES:
        read.findings.error(path, f"holds {len(found)} policies", f"{MAX_POLICIES} at most")
        return {}
    read.policies = frozenset(found)
    policies: dict[str, terms.Policy | None] = {}
    for name in sorted(found):
        here = (*path, name)
        if name == "none":
            read.findings.error(here, "a policy cannot be called none", 'rename it: "none" means that nobody signs')
        policies[name] = _policy(read, found[name], here)
    return policies


def read_approval(read: Reader, value: Value, path: Path) -> str | None:
    """A policy's name, or the word none: whether somebody signs is never left to a default."""
    if value is None:
        read.wrong(value, path, "a policy's name or none", 'write "none"')
        return None
    name = read.name(value, path)
    if name is None or name == "none":
        return name
    define = 'define it under approvals, or write "none"'
    return name if read.known(name, path, read.policies, "policy", define) else None


def read_approval_of(read: Reader, value: Value, path: Path) -> str | None:
    """The policy of `amendments` or `signoff`; None where nobody signs."""
    fields = read.mapping(value, path, APPROVAL_OF)
    name = read_approval(read, fields["approval"], (*path, "approval")) if fields and "approval" in fields else None
    return None if name == "none" else name


def _policy(read: Reader, value: Value, path: Path) -> terms.Policy | None:
    fields = read.mapping(value, path, POLICY)
    if fields is None:
        return None
    order = read.choice(fields["order"], (*path, "order"), ORDERS) if "order" in fields else "parallel"
    distinct = read.flag(fields["distinct"], (*path, "distinct")) if "distinct" in fields else True
    steps: list[terms.Step | None] = []
    if "steps" in fields:
        here = (*path, "steps")
        items = read.sequence(fields["steps"], here, "a list of steps")
        if len(items) > MAX_STEPS:
            read.findings.error(here, f"holds {len(items)} steps", f"a policy has {MAX_STEPS} at most")
            return None
        steps = [_step(read, item, (*here, place)) for place, item in enumerate(items)]
    read_steps = tuple(step for step in steps if step is not None)
    if not steps or len(read_steps) != len(steps) or order is None or distinct is None:
        return None
    return terms.Policy(steps=read_steps, sequential=order == "sequential", distinct=distinct)


def _step(read: Reader, value: Value, path: Path) -> terms.Step | None:
    fields = read.mapping(value, path, STEP)
    if fields is None:
        return None
    role = read.optional(fields, "role", path, read.role)
    quorum = read.count(fields["quorum"], (*path, "quorum")) if "quorum" in fields else 1
    evidence: tuple[str, ...] | None = ()
    if "evidence" in fields and fields["evidence"] != []:
        evidence = read.names(fields["evidence"], (*path, "evidence"))
    within, grace, remind_every = (
        read_duration(read, fields[key], (*path, key)) if key in fields else None
        for key in ("within", "grace", "remind_every")
    )
    amount = read.optional(fields, "amount_at_least", path, read.amount)
    outcome = _outcome(read, fields, path)
    if role is None or quorum is None or evidence is None or outcome is None:
        return None
    return terms.Step(
        role=role,
        quorum=quorum,
        evidence=evidence,
        within=within,
        grace=grace,
        remind_every=remind_every,
        escalations=outcome[0],
        on_timeout=outcome[1],
        amount_at_least_minor=amount,
    )


def _outcome(read: Reader, fields: dict[str, Value], path: Path) -> Outcome | None:
    """What follows when the deadline of a step or of an escalation passes."""
    if "on_timeout" not in fields:
        return (), None
    value, here = fields["on_timeout"], (*path, "on_timeout")
    if "within" not in fields:
        read.findings.error(here, "never comes: there is no deadline", "add within, or leave on_timeout out")
    if not isinstance(value, dict):
        near = read.findings.nearest(value, OUTCOMES) if isinstance(value, str) else None
        if isinstance(value, str) and value in OUTCOMES:
            return (), value
        fix = f'did you mean "{near}"?' if near else "write reject, accept or {escalate_to: ROLE, within: P5D}"
        read.wrong(value, here, "reject, accept or an escalation", fix)
        return None
    inner = read.mapping(value, here, ESCALATION)
    if inner is None:
        return None
    role = read.optional(inner, "escalate_to", here, read.role)
    within = read_duration(read, inner["within"], (*here, "within")) if "within" in inner else None
    rest = _outcome(read, inner, here)
    if role is None or rest is None:
        return None
    return (terms.Escalation(role, within), *rest[0]), rest[1]
