"""The join as a process: `python -m consumers.join`; settings are `MILEPOST_*`."""

import sys

from milepost.join.wiring import join_service
from milepost.processes import serve


def main() -> int:
    """Run one worker until SIGTERM or SIGINT; exit status 0, 1 with a reason, 2 for unusable settings."""
    return serve(join_service)


if __name__ == "__main__":
    sys.exit(main())
