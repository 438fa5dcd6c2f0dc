"""Which step each signature fills, where nobody fills two (rule 15)."""

from collections.abc import Iterable, Sequence

__all__ = ["filled"]


def filled(quorums: Sequence[int], signatures: Iterable[tuple[int, Sequence[int]]]) -> list[int | None]:
    """Since when each step has its quorum, or None.

    `signatures`: since when each counts, ascending, and the steps that it is good for, the one that it is meant for
    first. One that is good for several makes room for a later one: two who can sign two steps between them have.
    """
    taken: list[list[Sequence[int]]] = [[] for _ in quorums]
    since: list[int | None] = [None] * len(quorums)
    for at, fits in signatures:
        step = _placed(taken, quorums, fits, set())
        if step is not None and len(taken[step]) == quorums[step]:
            since[step] = at
    return since


def _placed(
    taken: list[list[Sequence[int]]], quorums: Sequence[int], fits: Sequence[int], full: set[int]
) -> int | None:
    """Put a signature into a step, or move others on for it; the step that has one more by that."""
    for step in fits:
        if len(taken[step]) < quorums[step]:
            taken[step].append(fits)
            return step
    for step in fits:
        if step in full:
            continue
        full.add(step)
        for other in list(taken[step]):
            grown = _placed(taken, quorums, [place for place in other if place not in full], full)
            if grown is not None:
                taken[step].remove(other)
                taken[step].append(fits)
                return grown
    return None
