"""What is accepted of one occurrence at each instant, and under which submissions."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from milepost.sim.oracle_deadlines import Request, Waiting
from milepost.sim.oracle_votes import Submission

__all__ = ["Accepted", "Level"]

_NONE = Fraction(0)


class Level(NamedTuple):
    """How much is accepted from an instant on; `price`: of all of it, in minor units where the contract has none."""

    at: int
    percent: Fraction
    price: Fraction
    grown_at: int  # the latest acceptance: its terms govern


@dataclass
class Accepted:
    """What is accepted of an occurrence at each instant (ascending), and the submissions that were opened."""

    levels: list[Level] = field(default_factory=list)
    submissions: list[Submission] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    past: list[Request] = field(default_factory=list)  # what nobody will be asked (any more)

    @property
    def steps(self) -> list[tuple[int, Fraction]]:
        """When how many percent were accepted."""
        return [(level.at, level.percent) for level in self.levels]

    def at(self, instant: int) -> Fraction:
        """The accepted percentage at an instant."""
        return next((level.percent for level in reversed(self.levels) if level.at <= instant), _NONE)

    @property
    def percent(self) -> Fraction:
        """The accepted percentage when everything has happened."""
        return self.levels[-1].percent if self.levels else _NONE

    def reached_at(self, percent: Fraction, instant: int) -> int | None:
        """Since when at least `percent` is accepted without a break, as seen at `instant`; None if it is not."""
        since = None
        for level in self.levels:
            if level.at <= instant:
                since = (level.at if since is None else since) if level.percent >= percent else None
        return since
