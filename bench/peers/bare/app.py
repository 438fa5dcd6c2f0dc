"""A bare FastAPI route that takes JSON, one event or a list, and answers once the broker has it: no keys, no check of
what comes, no memory of ids, no Avro. Run it as `app.py BOOTSTRAP PORT`.
"""

import asyncio
import json
import sys
import threading

import uvicorn
from confluent_kafka import Producer
from fastapi import FastAPI, Request

TOPIC = "milestone-events"

app = FastAPI()
# The options of milepost's own client.
producer = Producer(
    {
        "bootstrap.servers": sys.argv[1],
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "compression.type": "none",
        "linger.ms": 2,
        "queue.buffering.max.messages": 100_000,
    }
)


def poll() -> None:
    while True:
        producer.poll(0.1)


@app.post("/events", status_code=202)
async def take(request: Request) -> dict[str, int]:
    value = await request.json()
    events = value if isinstance(value, list) else [value]
    loop = asyncio.get_running_loop()
    stored = loop.create_future()
    left = len(events)

    def delivered(error: object, _: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            loop.call_soon_threadsafe(stored.set_result, None)

    for event in events:
        producer.produce(TOPIC, json.dumps(event), event["engagement_id"], on_delivery=delivered)
    await stored
    return {"accepted": len(events)}


if __name__ == "__main__":
    threading.Thread(target=poll, daemon=True).start()
    uvicorn.run(app, port=int(sys.argv[2]), loop="uvloop", access_log=False, log_level="warning")
