"""What aiokafka (0.14) does not see of its own connections and tasks; importing this module makes it see the first.

A write to a connection that was closed a moment ago is an OSError on asyncio's own loop, which the client knows, and a
RuntimeError on uvloop, which it does not: thrown into its metadata task it ends that task, and from then on every
request waits for metadata that nobody fetches, without a word.
"""

import asyncio
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError

from milepost.kafka.log import ClientEndedError

__all__ = ["check_alive", "close"]


class _Client(Protocol):
    _sync_task: "asyncio.Task[None] | None"


def check_alive(client: _Client) -> None:
    """Raise `ClientEndedError` where the task that keeps a started client's metadata has ended."""
    task = client._sync_task
    if task is not None and task.done():
        why = "it was cancelled" if task.cancelled() else repr(task.exception())
        raise ClientEndedError(
            f"the Kafka client fetches no metadata any more: {why}. Start the process again, and report this error"
        )


async def close(consumer: AIOKafkaConsumer) -> None:
    """Leave the group and close.

    While a broker is away, the client's own `stop` breaks off at a fetch that it cancelled itself, as if its caller had
    been cancelled, and leaves its connections open.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        await consumer._client.close()


def _knowing_closed(write: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(write)
    def knowing(self: AIOKafkaConnection, *arguments: Any, **options: Any) -> Any:
        try:
            return write(self, *arguments, **options)
        except RuntimeError as error:
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error

    return knowing


AIOKafkaConnection.send = _knowing_closed(AIOKafkaConnection.send)
AIOKafkaConnection._send_sasl_token = _knowing_closed(AIOKafkaConnection._send_sasl_token)
