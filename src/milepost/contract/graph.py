"""Which milestone waits for which: cycles, found without recursion however long the chain is."""

from collections import deque
from collections.abc import Iterable, Mapping

__all__ = ["cycles"]


def cycles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """One shortest cycle through the first milestone of each knot, as a -> b -> a; milestones in the order of `edges`.

    `edges` are (milestone, what it waits for). Every milestone on some cycle is in a knot that is reported.
    """
    graph: dict[str, dict[str, None]] = {}
    for source, target in edges:
        graph.setdefault(source, {})[target] = None
        graph.setdefault(target, {})
    order = {name: place for place, name in enumerate(graph)}
    knots = (knot for knot in _components(graph) if len(knot) > 1 or knot[0] in graph[knot[0]])
    found = [_way_back(graph, min(knot, key=order.__getitem__), set(knot)) for knot in knots]
    return sorted(found, key=lambda cycle: order[cycle[0]])


def _components(graph: Mapping[str, Mapping[str, None]]) -> list[list[str]]:
    """Strongly connected components (Tarjan), with a stack of its own."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: dict[str, None] = {}
    components: list[list[str]] = []
    for root in graph:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        open_[root] = None
        work = [(root, iter(graph[root]))]
        while work:
            name, rest = work[-1]
            for target in rest:
                if target not in index:
                    index[target] = low[target] = len(index)
                    open_[target] = None
                    work.append((target, iter(graph[target])))
                    break
                if target in open_:
                    low[name] = min(low[name], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    components.append(_unwind(open_, name))
    return components


def _unwind(open_: dict[str, None], until: str) -> list[str]:
    members = []
    while True:
        name, _ = open_.popitem()
        members.append(name)
        if name == until:
            return members


def _way_back(graph: Mapping[str, Mapping[str, None]], start: str, members: set[str]) -> list[str]:
    """The shortest way from `start` back to it, inside `members`."""
    came_from: dict[str, str] = {}
    queue = deque([start])
    while queue:
        name = queue.popleft()
        for target in graph[name]:
            if target == start:
                return _walk(came_from, start, name)
            if target in members and target not in came_from:
                came_from[target] = name
                queue.append(target)
    raise AssertionError(f"{start} is in a knot that it cannot leave")


def _walk(came_from: Mapping[str, str], start: str, last: str) -> list[str]:
    way = [start]
    while last != start:
        way.append(last)
        last = came_from[last]
    way.append(start)
    return way[::-1]
