"""What every channel has in common: it attempts one delivery, and says how that went."""

from dataclasses import dataclass
from typing import Protocol

from milepost.sql.notices import Claimed

__all__ = ["EMAIL", "WEBHOOK", "Channel", "Outcome", "plain"]

EMAIL, WEBHOOK = "email", "webhook"

# Long enough for what a server says, short enough for a table and a terminal.
_ANSWER_LENGTH = 300


@dataclass(frozen=True)
class Outcome:
    """How one attempt went.

    `verdict`: sent; retry, on the schedule and not before `not_before`; failed, for good; withdrawn: there was nothing
    to send any more. `why` is a word for logs and metrics, `answer` what the other side said, for the delivery log.
    `pause_until`: the recipient wants nothing before that instant. `gone`: it wants nothing ever.
    """

    verdict: str
    why: str
    answer: str
    not_before: int | None = None
    pause_until: int | None = None
    gone: bool = False


class Channel(Protocol):
    """A way to a recipient."""

    async def attempt(self, claimed: Claimed, now: int) -> Outcome:
        """Attempt a delivery; whatever the other side does is an outcome. Raises `UnavailableError` alone."""
        ...


def plain(text: str, length: int = _ANSWER_LENGTH) -> str:
    """The text on one line, without what a terminal or a mail client obeys: control characters, direction marks."""
    kept = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(kept.split())
    return line if len(line) <= length else line[: length - 1] + "…"
