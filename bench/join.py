"""The join beside its peers: events a second of each host, and milepost's ratio to every peer, in one run."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.hosts import HOSTS, Measured

__all__ = ["REPORT", "measure", "table"]

REPORT = Path("var/bench/join.json")
OURS = "milepost"


def measure(names: Sequence[str], events: int, peer_events: int) -> dict[str, object]:
    """Run the hosts one after another; rates are events a second, `ratio` is milepost's rate over the host's."""
    found = [HOSTS[name](events if name.startswith(OURS) else peer_events) for name in names]
    ours = next((one for one in found if one.host == OURS), found[0])
    report: dict[str, object] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
        "hosts": [_row(one, ours) for one in found],
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def _row(one: Measured, ours: Measured) -> dict[str, object]:
    return {
        "host": one.host,
        "events": one.events,
        "seconds": round(one.seconds, 2),
        "rate": round(one.rate),
        "ratio": round(ours.rate / one.rate, 3),
    }


def table(report: Mapping[str, object]) -> str:
    """The report for people."""
    lines = [f"{'host':<20}{'events':>10}{'seconds':>10}{'events/s':>10}{'milepost / host':>18}"]
    hosts = report["hosts"]
    assert isinstance(hosts, list)
    lines += [
        f"{row['host']:<20}{row['events']:>10}{row['seconds']:>10}{row['rate']:>10}{row['ratio']:>18}" for row in hosts
    ]
    return "\n".join([*lines, f"report: {REPORT}"])
