"""What ticks did to what was asked (rule 16): the one thing that depends on when something arrived.

A request counts from the later of its step's opening and the last tick before it was issued. A stage that a tick fired
stays fired; whether it changes anything is asked anew each time, for what is dated before its deadline still counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from milepost.core.contract import Contract, Duration, Step
from milepost.sim.oracle_days import NEVER, deadline
from milepost.sim.oracle_facts import Key

__all__ = ["Deadlines", "Fired", "Request", "Waiting"]


class Request(NamedTuple):
    """A step that somebody was asked to sign: of which claim, and since when it is asked for in its place."""

    key: Key
    number: int
    content: object
    place: int
    asked_for: int


Claim = tuple[Key, int, object]
"""Whose submission, its number and its content."""


class Fired(NamedTuple):
    """A stage that was over when a tick came."""

    deadline: int
    tick: int


class Waiting(NamedTuple):
    """A request that nobody answered: how many escalations it went through, and what the next tick finds."""

    request: Request
    stage: int
    deadline: int | None
    fires_at: int | None


@dataclass
class _Asked:
    clock: int | None
    fired: list[Fired] = field(default_factory=list)


class Deadlines:
    """Every request of an engagement; what is asked again counts anew."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.asked_again = False  # whether a request of which it was the turn before counts anew
        self._asked: dict[Request, _Asked] = {}
        self._at_first: set[Request] = set()  # those that wait before any escalation
        self._ends: dict[Claim, str | None] = {}
        self._stops: list[tuple[int, int | None]] = []

    def stop(self, at: int) -> None:
        """Time stands still from an instant on."""
        self._stops.append((at, None))

    def go_on(self, at: int) -> None:
        """Time runs again from an instant on."""
        self._stops[-1] = (self._stops[-1][0], at)

    def ask(self, waiting: Iterable[Waiting], clock: int | None) -> None:
        """What waits now; what was asked before and still waits keeps its time."""
        first = {found.request for found in waiting if found.stage == 0}
        self.asked_again = any(request in self._asked for request in first - self._at_first)
        for request in first - self._at_first:
            self._asked[request] = _Asked(clock)
        self._at_first = first

    def keep(self, claims: Mapping[Claim, str | None]) -> None:
        """The submissions that there are now, and how they ended: one that a late fact undid is asked anew if it comes
        back, unless it had timed out."""
        for request in list(self._asked):
            claim = (request.key, request.number, request.content)
            if claim not in claims and self._ends.get(claim, "late") != "late":
                del self._asked[request]
        self._ends.update(claims)

    def note(self, past: Iterable[Request], clock: int | None) -> None:
        """What nobody was asked counts from when it came to be known."""
        for request in past:
            self._asked.setdefault(request, _Asked(clock))

    def tick(self, waiting: Iterable[Waiting], at: int) -> None:
        """A tick fires one stage of each request."""
        for found in waiting:
            asked = self._asked.get(found.request)
            if asked is not None and found.deadline is not None and found.fires_at is not None and found.fires_at <= at:
                asked.fired = [*asked.fired[: found.stage], Fired(found.deadline, at)]

    def fired(self, request: Request) -> list[Fired]:
        """What ticks fired, stage by stage."""
        asked = self._asked.get(request)
        return asked.fired if asked is not None else []

    def instants(self, key: Key) -> list[int]:
        """The deadlines that passed, and the ticks that found them passed."""
        own = [asked for request, asked in self._asked.items() if request.key == key]
        return [at for asked in own for fired in asked.fired for at in fired]

    def starts(self, request: Request, opened_at: int, clock: int | None) -> int:
        """What the first stage counts from; `clock`: the last tick, where nobody was asked yet."""
        asked = self._asked.get(request)
        last = clock if asked is None else asked.clock
        return max(opened_at, request.asked_for, opened_at if last is None else last)

    def after(self, since: int, within: Duration) -> int:
        """The first instant that is too late."""
        return deadline(since, within, self._contract.timezone, self._contract.calendar, self._stops)

    def graced(self, due: int, step: Step) -> int:
        """From when on a tick makes silence an acceptance."""
        grace = step.grace
        if grace is None or due >= NEVER:
            return due
        if grace.business_days or grace.months or grace.days:
            return self.after(due - 1, grace)  # the deadline is the first instant that is too late
        return self.after(due, grace)
