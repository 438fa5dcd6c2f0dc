"""The ledger as a process: `python -m consumers.ledger`; settings are `MILEPOST_*`."""

import sys

from milepost.ledger.wiring import ledger_service
from milepost.processes import serve


def main() -> int:
    """Run one ledger until SIGTERM or SIGINT; exit status 0, 1 with a reason, 2 for unusable settings."""
    return serve(ledger_service)


if __name__ == "__main__":
    sys.exit(main())
