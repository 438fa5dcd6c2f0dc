"""Which requests ran out, by the ticks that came (rule 16): the one thing that depends on when something arrived.

A request counts from the later of its step's opening and the last tick before it was issued. A stage that a tick fired
stays fired; whether it changes anything is asked anew each time, for what is dated before its deadline still counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from milepost.core.contract import Contract, Duration, Step
from milepost.sim.oracle_days import deadline
from milepost.sim.oracle_facts import Key

__all__ = ["Deadlines", "Request"]

_SECOND = 1_000_000


@dataclass
class _Clock:
    """One request: since when it counts, the ticks that escalated it, and the deadline that a tick found passed."""

    since: int
    step: Step
    contract: Contract
    stops: list[tuple[int, int | None]]
    escalated: list[int] = field(default_factory=list)
    ended: int | None = None
    answered: bool = False

    def after(self, since: int, within: Duration) -> int:
        return deadline(since, within, self.contract.timezone, self.contract.calendar, self.stops)

    @property
    def next(self) -> int | None:
        """The deadline of the stage that runs."""
        if not self.escalated:
            return None if self.step.within is None else self.after(self.since, self.step.within)
        within = self.step.escalations[len(self.escalated) - 1].within
        return None if within is None else self.after(self.escalated[-1], within)

    @property
    def last(self) -> int | None:
        """The deadline after which nothing counts any more; None while a stage follows, or where nothing ends it."""
        if self.ended is not None:
            return self.ended
        if len(self.escalated) < len(self.step.escalations) or self.step.on_timeout is None:
            return None
        return self.next

    def tick(self, at: int) -> None:
        """One tick fires one stage; a deemed acceptance waits for its grace."""
        due = self.next
        if due is None or self.ended is not None:
            return
        if len(self.escalated) < len(self.step.escalations):
            if at >= due:
                self.escalated.append(at)
        elif self.step.on_timeout is not None:
            grace = self.step.grace if self.step.on_timeout == "accept" else None
            if at >= (due if grace is None else self._graced(due, grace)):
                self.ended = due

    def _graced(self, due: int, grace: Duration) -> int:
        if not (grace.business_days or grace.months or grace.days):
            return self.after(due, grace)
        return self.after(due - 1, grace)  # the deadline is the first instant that is too late


@dataclass(frozen=True)
class Request:
    """A step that waits for signatures: of which submission, and since when it is open."""

    key: Key
    number: int
    content: object
    step: Step
    opened_at: int

    @property
    def id(self) -> tuple[Key, int, object, Step]:
        return (self.key, self.number, self.content, self.step)


class Deadlines:
    """Every request of an engagement that has a deadline; what is asked again counts anew."""

    def __init__(self) -> None:
        self._clocks: dict[tuple[Key, int, object, Step], list[_Clock]] = {}
        self._stops: list[tuple[int, int | None]] = []

    def stop(self, at: int) -> None:
        """Time stands still from an instant on."""
        self._stops.append((at, None))

    def go_on(self, at: int) -> None:
        """Time runs again from an instant on."""
        self._stops[-1] = (self._stops[-1][0], at)

    def ask(self, requests: Iterable[Request], clock: int | None, contract: Contract) -> None:
        """Requests that wait now; what was asked before and still waits keeps its time."""
        waiting = {request.id: request for request in requests if request.step.within is not None}
        for found, clocks in self._clocks.items():
            clocks[-1].answered |= found not in waiting and clocks[-1].ended is None
        for found, request in waiting.items():
            clocks = self._clocks.setdefault(found, [])
            if not clocks or clocks[-1].answered:
                since = max(request.opened_at, clock if clock is not None else request.opened_at)
                clocks.append(_Clock(since, request.step, contract, self._stops))

    def tick(self, requests: Iterable[Request], at: int) -> None:
        """A tick comes while these requests wait."""
        for request in requests:
            if request.id in self._clocks:
                self._clocks[request.id][-1].tick(at)

    def instants(self, key: Key) -> list[int]:
        """The deadlines that passed, and when somebody else was asked."""
        own = [clock for found, clocks in self._clocks.items() if found[0] == key for clock in clocks]
        ended = [clock.ended for clock in own if clock.ended is not None]
        return ended + [at for clock in own for at in clock.escalated]

    def roles_at(self, key: Key, number: int, content: object, step: Step, at: int) -> list[str]:
        """The roles that were asked as well by an instant."""
        clocks = self._clocks.get((key, number, content, step), [])
        escalated = [pair for clock in clocks for pair in zip(step.escalations, clock.escalated, strict=False)]
        return [escalation.role for escalation, since in escalated if since <= at]

    def last(self, key: Key, number: int, content: object, step: Step) -> int | None:
        """The first instant that is too late for a decision in this step."""
        clocks = self._clocks.get((key, number, content, step))
        return None if not clocks else clocks[-1].last

    def deemed_at(self, key: Key, number: int, content: object, step: Step) -> int | None:
        """The deadline from which the step counts as signed."""
        return self._ended(key, number, content, step, "accept")

    def late_at(self, key: Key, number: int, content: object, step: Step) -> int | None:
        """The deadline at which the submission timed out."""
        return self._ended(key, number, content, step, "reject")

    def _ended(self, key: Key, number: int, content: object, step: Step, how: str) -> int | None:
        clocks = self._clocks.get((key, number, content, step))
        return clocks[-1].ended if clocks and step.on_timeout == how else None
