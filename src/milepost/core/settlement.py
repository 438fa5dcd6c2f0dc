"""What is paid out of what was withheld, and when (rule 24)."""

from fractions import Fraction
from typing import NamedTuple

from msgspec.structs import replace

from milepost.core import holds, ids, money
from milepost.core.calendar import END_OF_TIME
from milepost.core.contract import Release
from milepost.core.engagement import Engagement
from milepost.core.facts import Place, due_key
from milepost.core.lines import draft
from milepost.core.posting import note, raise_retention
from milepost.core.rules import moments, retention

__all__ = ["NAMED", "DueRelease", "fired", "give_back", "pay_out", "release", "schedule"]

NAMED = 10_000  # ids in one retention event: 100,000 would not fit into a record

_RELEASE = Place("@release")  # what is due in the index, so that a tick asks for it


class DueRelease(NamedTuple):
    """A rule whose moment has come."""

    moment: int
    order: int  # in the contract
    rule: Release


def schedule(engagement: Engagement) -> None:
    """Enter the days of the release rules into the index of what is due: only ticks pass them."""
    for rule in _rules(engagement):
        for instant in moments.days(rule.when, engagement.account.signoff_at, engagement.agreed.zone):
            if instant > engagement.last_tick:
                engagement.staged.save(due_key(instant, engagement.name, _RELEASE), b"")


def fired(engagement: Engagement) -> list[DueRelease]:
    """The rules whose moment has come, in the order of their moments; at one instant in the contract's order."""
    signoff_at, zone = engagement.account.signoff_at, engagement.agreed.zone
    found: list[DueRelease] = []
    for order, rule in enumerate(_rules(engagement)):
        moment = moments.come(rule.when, signoff_at, engagement.last_tick, zone)
        if moment is not None:
            found.append(DueRelease(moment, order, rule))
    return sorted(found, key=lambda due: due[:2])


def release(engagement: Engagement) -> None:
    """Pay out what the rules whose moment has come release: one line and one event a rule.

    Nothing while a dispute is open or the engagement is suspended, and after a termination nothing before the sign-off.
    """
    account = engagement.account
    ended = account.terminated_at is not None and account.signoff_at is None
    if account.suspended or account.disputes_open or ended or not retention.held_now(account):
        return
    rules = fired(engagement)
    cumulative = Fraction(0)
    for place, (moment, _, rule) in enumerate(rules, start=1):
        cumulative += money.ratio(rule.share)
        if place == len(rules) == len(_rules(engagement)):
            amount, until = retention.held_now(account), END_OF_TIME
        else:
            released = account.released_minor - account.excess_minor
            held = holds.accepted_by(engagement, rule.id, moment)
            amount = money.percentage_of(held, cumulative, engagement.agreed.rounding) - released
            until = moment
        if amount > 0:
            signed = account.signoff_causes if moments.needs_signoff(rule.when) and account.signoff_at else ()
            pay_out(engagement, rule.id, amount, moment, until, signed)


def give_back(engagement: Engagement) -> None:
    """Pay out what is held beyond what an amendment of everything withholds: one release, before fees' differences."""
    account, terms = engagement.account, engagement.agreed
    number = max((v.contract.version for v in terms.versions[1:] if v.mode == "catch_up"), default=0)
    if account.suspended or number <= account.caught_up_version:
        return
    account.caught_up_version = number
    amount = retention.excess(account, terms)
    if amount > 0:
        account.excess_minor += amount
        pay_out(engagement, f"v{number}", amount, engagement.at, END_OF_TIME, excess=True)


def pay_out(
    engagement: Engagement,
    release_id: str,
    amount: int,
    at: int,
    until: int,
    because: tuple[str, ...] = (),
    excess: bool = False,
) -> None:
    """Raise the line and the retention event of a release, dated `at`, of what is held on lines accepted by `until`.

    `because` names what the release was due by, beside the event that is being folded; `excess` is what a lower rate
    gives back.
    """
    account, contract = engagement.account, engagement.agreed.contract
    named, latest = holds.spend(engagement, amount, until, excess)
    at = max(at, latest)
    revision = account.releases[release_id] = account.releases.get(release_id, 0) + 1
    effect = f"release:{release_id}"
    line = draft(contract, Place(""), effect, revision, kind="RETENTION_RELEASE", gross=0, at=at, paid_out=amount)
    line = replace(
        line,
        description=f"Retention released: {release_id}",
        caused_by=tuple(sorted({*because, engagement.cause})),
        evidence=engagement.evidence(),
    )
    account.released_minor += amount
    account.payable_minor += amount
    engagement.outputs.append(line)
    engagement.audit("LINE", line.kind, line.line_id)
    note(engagement, Place(""), effect, line)
    identity = ids.identify("retention", engagement.name, "", "", effect, revision)
    raise_retention(engagement, identity, line, "RELEASED", amount, release_id, tuple(named[:NAMED]))


def _rules(engagement: Engagement) -> tuple[Release, ...]:
    retained = engagement.agreed.contract.retention
    return retained.release if retained else ()
