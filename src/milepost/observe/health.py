"""Whether this process lives, and whether it can do its work: asked of every service in it.

A service says how it is by a function; each gives the sentence that says what it waits for, or None. Nobody asked yet
means not ready: a process that has not begun its work cannot do it.
"""

from collections.abc import Callable

__all__ = ["forget", "troubles", "watch"]

_checks: dict[str, Callable[[], str | None]] = {}


def watch(name: str, check: Callable[[], str | None]) -> None:
    """From now on `check` answers for the service `name`. It is called from another thread, and must not wait."""
    _checks[name] = check


def forget(name: str) -> None:
    """The service has ended."""
    _checks.pop(name, None)


def troubles() -> list[str]:
    """What keeps this process from its work, a sentence a service; empty: it is ready."""
    if not _checks:
        return ["no service runs yet"]
    found = [(name, check()) for name, check in list(_checks.items())]
    return [f"{name}: {why}" for name, why in found if why is not None]
