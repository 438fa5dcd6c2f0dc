"""The schema registry, asked before a command reads or writes records: with its ids the processes wrote them."""

import typer

from milepost.codec.registry import AwayError
from milepost.outbound.schema_registry import SchemaRegistry, UnregisteredError, adopt
from milepost.settings import Settings

__all__ = ["adopted"]


def adopted(chosen: Settings) -> SchemaRegistry | None:
    """Read and write with the ids of the registry that the settings name, and answer it; None where they name none.

    Ends the command with status 2 where the registry is away or has not got our schemas.
    """
    try:
        return adopt(chosen)
    except (AwayError, UnregisteredError) as error:
        typer.echo(str(error), err=True)
    except OSError as error:
        typer.echo(f"MILEPOST_OUTBOUND_CA_FILE cannot be read: {error}", err=True)
    raise typer.Exit(2)
