"""The terms that an engagement is under now, from the contracts that the ledger has: for showing, never for deciding.

What counts is the join's affair; a page only has to say the same in advance.
"""

from functools import lru_cache

from milepost import contract
from milepost.core.terms import AMENDMENT, Terms
from milepost.sql.engine import Engine
from milepost.sql.occurrences import Occurrences
from milepost.sql.reading import LedgerReading

__all__ = ["compiled", "terms_in_force"]

_SIGNED = ("ACCEPTED", "BILLED")


def terms_in_force(engine: Engine, engagement: str, now: int) -> Terms | None:
    """The newest version that was signed and has begun; None while the ledger has no contract. Blocks.

    Raises `UnavailableError`.
    """
    texts = LedgerReading(engine).contracts(engagement)
    if not texts:
        return None
    amendments = Occurrences(engine).statuses(engagement, AMENDMENT) if len(texts) > 1 else []
    signed = {status.occurrence_id for status in amendments if status.state in _SIGNED}
    first = min(texts)
    versions = [compiled(text) for version, text in sorted(texts.items()) if version == first or str(version) in signed]
    begun = [terms for terms in versions if terms is not None and terms.since <= now]
    return begun[-1] if begun else None


@lru_cache(maxsize=256)
def compiled(text: str) -> Terms | None:
    """The terms in a contract's JSON text; None for what an older or newer release would have to read."""
    read = contract.parse_wire(text).contract
    return None if read is None else Terms(read)
