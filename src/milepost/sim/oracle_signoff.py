"""When the sign-off takes effect: with its signatures, and with the last milestone that it waits for (rule 23)."""

from collections.abc import Iterable
from fractions import Fraction

from milepost.core.contract import Success
from milepost.sim.oracle_accepted import Accepted
from milepost.sim.oracle_claims import Walk

__all__ = ["SignoffWalk"]


class SignoffWalk(Walk):
    """The claim of `@signoff`: it depends on every milestone that is neither optional nor repeating nor to-date."""

    awaited: list[Accepted]

    def wait_for(self, accepted: dict[tuple[str, str | None], Accepted]) -> None:
        """What is accepted of each milestone."""
        self.awaited = [
            accepted[(m.id, None)]
            for m in self.terms.latest.milestones
            if not m.optional and m.repeats == "none" and not (isinstance(m.fee, Success) and m.fee.to_date)
        ]

    def _may_bill(self, claim: Fraction, at: int) -> bool:
        return all(found.at(at) == 100 or self._is_over(found, at) for found in self.awaited)

    def _is_over(self, found: Accepted, at: int) -> bool:
        """Whether it was cancelled, and nothing more of it was accepted after the instant."""
        ended = self.facts.terminated is not None and found.percent < 100
        return ended and all(step <= at for step, _ in found.steps)

    def _instants(self) -> Iterable[int]:
        yield from super()._instants()
        yield from (level.at for found in self.awaited for level in found.levels)
