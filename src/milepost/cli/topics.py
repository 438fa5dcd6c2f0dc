"""`milepost topics plan|apply`: the cluster's topics, compared with schemas/topics.toml and made so."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from milepost import settings

if TYPE_CHECKING:
    from milepost.kafka.admin import Difference, Plan, Topics

__all__ = ["app"]

app = typer.Typer(help="Compare the cluster's topics with schemas/topics.toml, and create them.", no_args_is_help=True)

JSON = typer.Option(False, "--json", help="Print one JSON object.")
SERVERS = typer.Option(None, "--bootstrap-servers", help="Brokers; default: MILEPOST_BOOTSTRAP_SERVERS.")


def _run(servers: str | None, work: "Callable[[Topics], Plan]") -> "Plan":
    from milepost.kafka.admin import Topics, TopicsError

    try:
        return work(Topics(settings.load(bootstrap_servers=servers)))
    except settings.SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except TopicsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def _print(plan: "Plan", as_json: bool, verbs: dict[str, str], left: "tuple[Difference, ...]") -> None:
    if as_json:
        typer.echo(json.dumps(plan.to_json(), indent=2))
        return
    for one in plan.differences:
        wanted = f"{one.setting} {one.found} -> {one.wanted}" if one.setting else one.wanted
        reason = f": {one.why}" if one.action == "refuse" else ""
        typer.echo(f"{verbs[one.action]} {one.topic}: {wanted}{reason}")
    same = plan.topics - len({one.topic for one in left})
    typer.echo(f"{same} of {plan.topics} topics are as schemas/topics.toml says.")


@app.command()
def plan(as_json: bool = JSON, bootstrap_servers: str | None = SERVERS) -> None:
    """Say what `apply` would do; exit with 1 when anything differs."""
    found = _run(bootstrap_servers, lambda topics: topics.plan())
    verbs = {"create": "would create", "alter": "would alter", "refuse": "would refuse"}
    _print(found, as_json, verbs, found.differences)
    if found.differences:
        raise typer.Exit(1)


@app.command()
def apply(as_json: bool = JSON, bootstrap_servers: str | None = SERVERS) -> None:
    """Create missing topics and correct settings; exit with 1 when something had to be left as it is."""
    found = _run(bootstrap_servers, lambda topics: topics.apply())
    _print(found, as_json, {"create": "created", "alter": "altered", "refuse": "refused"}, found.refused)
    if found.refused:
        raise typer.Exit(1)
