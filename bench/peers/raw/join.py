"""The small join on aiokafka alone: python join.py BOOTSTRAP EVENTS GROUP. Prints `rate`, events a second."""

import asyncio
import sys
import time
from typing import Any

import aiokafka.producer.sender
import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

aiokafka.producer.sender.BACKOFF_OVERRIDE = 0.002

INPUTS = ("milestone-events", "kpi-events", "approvals")
MAX_RECORDS = 8_000
MET = 99.9
REPORTED, MEASURED, SIGNED, BILLED = 1, 2, 4, 8
decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode

Taken = dict[TopicPartition, list[ConsumerRecord]]


class Partition:
    """State and producer of one partition."""

    def __init__(self, number: int, producer: AIOKafkaProducer, group: str) -> None:
        self.number, self.producer, self.group = number, producer, group
        self.state: dict[bytes, dict[str, list[Any]]] = {}

    async def join(self, taken: Taken) -> None:
        outputs: list[tuple[str, bytes, bytes]] = []
        touched: dict[bytes, None] = {}
        for records in taken.values():
            for record in records:
                touched[record.key] = None
                self.fold(record.key, decode(record.value), outputs)
        outputs += [("engagement-state", key, encode(self.state[key])) for key in touched]
        await self.transact(outputs, {partition: some[-1].offset + 1 for partition, some in taken.items()})

    def fold(self, key: bytes, event: dict[str, Any], outputs: list[tuple[str, bytes, bytes]]) -> None:
        milestone = self.state.setdefault(key, {}).setdefault(event["milestone_id"], [0, 0, ""])
        if "fee_minor" in event:
            milestone[0] |= REPORTED
            milestone[1:] = event["fee_minor"], event["currency"]
        elif "kpi" in event:
            milestone[0] |= MEASURED if event["value"] >= MET else 0
        elif event["decision"] == "approved":
            milestone[0] |= SIGNED
        if milestone[0] == REPORTED | MEASURED | SIGNED:
            milestone[0] |= BILLED
            held = milestone[1] // 10
            for topic, kind, amount in (
                ("invoice-lines", "inv", milestone[1] - held),
                ("retention-events", "ret", held),
            ):
                line = {
                    "id": f"{event['id']}/{kind}",
                    "engagement_id": event["engagement_id"],
                    "milestone_id": event["milestone_id"],
                    "amount_minor": amount,
                    "currency": milestone[2],
                }
                outputs.append((topic, key, encode(line)))

    async def transact(self, outputs: list[tuple[str, bytes, bytes]], offsets: dict[TopicPartition, int]) -> None:
        full: list[tuple[str, Any]] = []
        filling: dict[str, Any] = {}
        for topic, key, value in outputs:
            batch = filling.get(topic)
            if batch is None or batch.append(key=key, value=value, timestamp=None) is None:
                if batch is not None:
                    full.append((topic, batch))
                batch = filling[topic] = self.producer.create_batch()
                batch.append(key=key, value=value, timestamp=None)
        await self.producer.begin_transaction()
        sent = []
        for topic, batch in [*full, *filling.items()]:
            batch.close()
            sent.append(await self.producer.send_batch(batch, topic, partition=self.number))
        for acknowledged in sent:
            await acknowledged
        await self.producer.send_offsets_to_transaction(offsets, self.group)
        await self.producer.commit_transaction()


async def main(bootstrap: str, total: int, group: str) -> None:
    consumer = AIOKafkaConsumer(
        *INPUTS,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 << 20,
        fetch_max_bytes=64 << 20,
    )
    await consumer.start()
    partitions: dict[int, Partition] = {}
    count, began = 0, 0.0
    while count < total:
        taken: dict[int, Taken] = {}
        for source, records in (await consumer.getmany(timeout_ms=200, max_records=MAX_RECORDS)).items():
            taken.setdefault(source.partition, {})[source] = records
            count += len(records)
        if not taken:
            continue
        began = began or time.perf_counter()
        for number in taken.keys() - partitions.keys():
            producer = AIOKafkaProducer(
                bootstrap_servers=bootstrap,
                transactional_id=f"{group}-{number}",
                linger_ms=0,
                retry_backoff_ms=100,
                max_batch_size=1 << 20,
            )
            await producer.start()
            partitions[number] = Partition(number, producer, group)
        await asyncio.gather(*(partitions[number].join(some) for number, some in taken.items()))
    seconds = time.perf_counter() - began
    print(f"events {count} sec {seconds:.2f} rate {count / seconds:.0f}")
    for partition in partitions.values():
        await partition.producer.stop()
    await consumer.stop()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
