"""The gateway as a process: `python -m producers.gateway`; settings are `MILEPOST_*`."""

import sys

from milepost.gateway.wiring import gateway_service
from milepost.processes import serve


def main() -> int:
    """Serve until SIGTERM or SIGINT; exit status 0, 1 with a reason, 2 for unusable settings."""
    return serve(gateway_service)


if __name__ == "__main__":
    sys.exit(main())
