"""Whether brokers answer, asked every few seconds: a consumer without them does not fail, it only finds nothing."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from milepost.kafka.log import LogError

__all__ = ["LOOK_S", "unanswered"]

# How old may be what is known of them, and how long an answer may take.
LOOK_S = 5.0
_ANSWER_S = 10.0


async def unanswered(question: Coroutine[Any, Any, object]) -> str | None:
    """The sentence that says why `question` to the brokers got no answer; None: it got one."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            await question
    except LogError as error:
        return f"waiting for Kafka: {error}"
    except TimeoutError:
        return f"waiting for Kafka: no answer within {_ANSWER_S:.0f} s"
    return None
