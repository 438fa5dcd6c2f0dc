"""Notices as a process: `python -m consumers.notices`; settings are `MILEPOST_*`."""

import sys

from milepost.notices.wiring import notices_service
from milepost.processes import serve


def main() -> int:
    """Run one instance until SIGTERM or SIGINT; exit status 0, 1 with a reason, 2 for unusable settings."""
    return serve(notices_service)


if __name__ == "__main__":
    sys.exit(main())
