"""Load the peers' input: python load.py BOOTSTRAP MILESTONES. Three events each, five milestones an engagement."""

import json
import sys
from collections.abc import Iterator
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 4
MILESTONES = 5
START_MS = 1_700_000_000_000
TOPICS = ("milestone-events", "kpi-events", "approvals", "invoice-lines", "retention-events", "engagement-state")


def events(engagements: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for m in range(MILESTONES):
        for e in range(engagements):
            engagement, milestone, at = f"eng-{e:07d}", f"ms-{m}", START_MS + m
            common = {"engagement_id": engagement, "milestone_id": milestone}
            done = {"type": "completed", "occurred_at": at, "fee_minor": 100001 + e, "currency": "EUR"}
            yield "milestone-events", engagement, {"id": f"{engagement}/{milestone}/c", **common, **done}
            measured = {"kpi": "uptime", "value": 99.95, "observed_at": at}
            yield "kpi-events", engagement, {"id": f"{engagement}/{milestone}/k", **common, **measured}
            signed = {"approver": "client_ap", "decision": "approved", "at": at}
            yield "approvals", engagement, {"id": f"{engagement}/{milestone}/a", **common, **signed}


def main(bootstrap: str, milestones: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for prefix in ("", "ks-"):
        config = {name: {"cleanup.policy": "compact"} if name.endswith("state") else {} for name in TOPICS}
        made = admin.create_topics([NewTopic(prefix + n, PARTITIONS, 1, config=config[n]) for n in TOPICS])
        for future in made.values():
            future.result()
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 20,
            "queue.buffering.max.messages": 2_000_000,
            "partitioner": "murmur2_random",
        }
    )
    for count, (topic, key, value) in enumerate(events(milestones // MILESTONES)):
        producer.produce(topic, json.dumps(value).encode(), key.encode())
        if count % 5_000 == 0:
            producer.poll(0)
    if producer.flush(120):
        raise SystemExit("load.py: the broker did not acknowledge every event within 120 s")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
