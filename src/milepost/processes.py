"""How every long-running process begins: settings, logs, schemas, then its services until they end."""

import sys
from collections.abc import Callable, Sequence
from functools import partial

from milepost import settings
from milepost.observe import health, hosting, logs
from milepost.observe.exposition import expose
from milepost.outbound.schema_registry import adopt
from milepost.settings import Settings

__all__ = ["serve"]

log = logs.logger(__name__)


def serve(*makers: Callable[[Settings], hosting.Service]) -> int:
    """Run the services until SIGTERM or SIGINT; exit status 0, 1 with a reason, 2 for unusable settings.

    Waits, saying so, for a schema registry that is away or has not got our schemas; `/live`, `/ready` and `/metrics`
    are there meanwhile.
    """
    try:
        chosen = settings.load()
    except settings.SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    logs.configure(chosen.log_level, chosen.log_format)
    try:
        exposed = expose(chosen.metrics_host, chosen.metrics_port) if chosen.metrics_port else None
    except OSError as error:
        address = f"{chosen.metrics_host}:{chosen.metrics_port}"
        print(f"milepost: {address} is not free (MILEPOST_METRICS_HOST and _PORT): {error}", file=sys.stderr)  # noqa: T201
        return 2
    if exposed is not None:
        log.info("metrics are served", url=f"http://{exposed.host}:{exposed.port}/metrics")
    try:
        return _hosted(chosen, makers)
    finally:
        if exposed is not None:
            exposed.stop()


def _hosted(chosen: Settings, makers: Sequence[Callable[[Settings], hosting.Service]]) -> int:
    def say(why: str) -> None:
        health.watch("schema registry", lambda: f"waiting for the registry of MILEPOST_SCHEMA_REGISTRY_URL{why}")

    say("")
    try:
        adopt(chosen, wait=True, say=lambda why: say(f": {why}"))
    except OSError as error:
        print(f"milepost: MILEPOST_OUTBOUND_CA_FILE cannot be read: {error}", file=sys.stderr)  # noqa: T201
        return 2
    finally:
        health.forget("schema registry")
    return hosting.host(
        [partial(maker, chosen) for maker in makers], shutdown_timeout_s=chosen.shutdown_timeout_ms / 1000
    )
