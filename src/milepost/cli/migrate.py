"""`milepost migrate`: the database, brought to this release."""

import typer

from milepost import settings
from milepost.sql.engine import DatabaseError, UnavailableError, connect, described
from milepost.sql.migrations import migrate as bring

__all__ = ["migrate"]


def migrate() -> None:
    """Bring the database of MILEPOST_DATABASE_URL to the tables of this release; doing it again changes nothing.

    The ledger and the gateway do so themselves at their start. Exit status 2: it is away, or a newer release's.
    """
    try:
        engine = connect(settings.load().database_url.get_secret_value())
        bring(engine)
    except (settings.SettingsError, DatabaseError, UnavailableError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    typer.echo(f"{described(engine)} has the tables of this release")
    engine.dispose()
