"""How every long-running process begins: settings, logs, schemas, then its services until they end."""

import sys
from collections.abc import Callable
from functools import partial

from milepost import settings
from milepost.observe import hosting, logs
from milepost.outbound.schema_registry import UnregisteredError, adopt
from milepost.settings import Settings

__all__ = ["serve"]


def serve(*makers: Callable[[Settings], hosting.Service]) -> int:
    """Run the services until SIGTERM or SIGINT; exit status 0, 1 with a reason, 2 for unusable settings.

    Waits, saying so, for a schema registry that is away.
    """
    try:
        chosen = settings.load()
    except settings.SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    logs.configure(chosen.log_level, chosen.log_format)
    try:
        adopt(chosen, wait=True)
    except UnregisteredError as error:
        print(f"milepost: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except OSError as error:
        print(f"milepost: MILEPOST_OUTBOUND_CA_FILE cannot be read: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return hosting.host(
        [partial(maker, chosen) for maker in makers],
        metrics_address=(chosen.metrics_host, chosen.metrics_port) if chosen.metrics_port else None,
        shutdown_timeout_s=chosen.shutdown_timeout_ms / 1000,
    )
