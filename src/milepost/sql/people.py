"""The directory: which address a person has. Everywhere else people are opaque ids."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import Engine, and_, delete, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from milepost.sql.engine import reading, writing
from milepost.sql.notice_tables import notice_people, notices
from milepost.sql.notices import OWED

__all__ = ["Person", "keep_people", "people", "person_of", "remove_person"]

_person = notice_people.c


@dataclass(frozen=True)
class Person:
    """A person's e-mail address, and the name to greet them by."""

    person_id: str
    address: str
    name: str | None
    changed_at: int


def keep_people(engine: Engine, known: Iterable[Person], now: int) -> None:
    """Add people or change their addresses, all or none; what they are owed is tried at once.

    Raises `UnavailableError`.
    """
    rows = sorted((asdict(person) for person in known), key=lambda row: str(row["person_id"]))
    if not rows:
        return
    new = (postgresql_insert if engine.dialect.name == "postgresql" else sqlite_insert)(notice_people)
    changed = {name: new.excluded[name] for name in ("address", "name", "changed_at")}
    notice = notices.c
    with writing(engine) as connection:
        connection.execute(new.on_conflict_do_update(index_elements=["person_id"], set_=changed), rows)
        waiting = and_(notice.state == OWED, notice.channel == "email", notice.address.is_(None), notice.due_at > now)
        for row in rows:
            theirs = and_(waiting, notice.recipient == row["person_id"])
            connection.execute(update(notices).where(theirs).values(due_at=now))


def people(engine: Engine) -> list[Person]:
    """Everybody, by id. Raises `UnavailableError`."""
    with reading(engine) as connection:
        found = connection.execute(select(notice_people).order_by(_person.person_id)).mappings()
        return [Person(**row) for row in found]


def person_of(engine: Engine, person_id: str) -> Person | None:
    """The person of that id. Raises `UnavailableError`."""
    with reading(engine) as connection:
        found = connection.execute(select(notice_people).where(_person.person_id == person_id)).mappings().first()
        return None if found is None else Person(**found)


def remove_person(engine: Engine, person_id: str) -> bool:
    """Forget a person's address and name; False where nothing was known. Raises `UnavailableError`."""
    with writing(engine) as connection:
        return bool(connection.execute(delete(notice_people).where(_person.person_id == person_id)).rowcount)
