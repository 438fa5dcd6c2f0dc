"""The clock as a process: `python -m producers.clock`; settings are `MILEPOST_*`."""

import sys

from milepost import settings
from milepost.clock.wiring import clock_service
from milepost.observe import hosting, logs


def main() -> int:
    """Run one instance until SIGTERM or SIGINT; exit status 0, 1 with a reason, 2 for unusable settings."""
    try:
        chosen = settings.load()
    except settings.SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    logs.configure(chosen.log_level, chosen.log_format)
    return hosting.host(
        [lambda: clock_service(chosen)],
        metrics_address=(chosen.metrics_host, chosen.metrics_port) if chosen.metrics_port else None,
        shutdown_timeout_s=chosen.shutdown_timeout_ms / 1000,
    )


if __name__ == "__main__":
    sys.exit(main())
