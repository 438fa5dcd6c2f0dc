"""What aiokafka (0.14) does not see of its own connections; importing this module makes it see the first.

A write to a connection that was closed a moment ago is an OSError on asyncio's own loop, which the client knows, and a
RuntimeError on uvloop, which it does not: thrown into its metadata task it ends that task, and from then on every
request waits for metadata that nobody fetches, without a word.
"""

import asyncio
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError

from milepost.kafka.log import ClientEndedError

__all__ = ["check_alive"]


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
