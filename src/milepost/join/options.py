"""Every limit of the join, by name; times in seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

from milepost.settings import Settings

__all__ = ["JoinOptions", "from_settings"]


@dataclass(frozen=True)
class JoinOptions:
    """What a worker of the join needs to know beside its brokers."""

    app: str
    group: str
    inputs: tuple[str, ...]  # in their place order
    outputs: tuple[str, ...]
    state_topic: str
    history_topic: str | None = None  # where each transaction says what it applied; None: nowhere

    max_records: int = 8_000  # most records of one poll, and of one transaction
    poll_timeout_s: float = 0.05  # an idle poll; a seek or a resume waits that long at most
    queue_records: int = 16_000  # a partition with more waiting is paused; two polls, so that it never runs dry
    chunk_records: int = 100  # folded before the event loop gets its turn; tens of milliseconds
    max_record_bytes: int = 1_000_000  # a broker takes 1,048,588 with its framing unless told otherwise
    renew_after_records: int = 2_000_000_000  # sequence numbers of a producer epoch end at 2^31

    fence_timeout_s: float = 60.0
    stall_s: float = 60.0  # a changelog that cannot be read further for so long has a hanging transaction
    send_timeout_s: float = 30.0
    transaction_timeout_s: float = 60.0
    close_timeout_s: float = 5.0
    keep_state_s: float = 600.0  # own state older than this is restored whole: tombstones may be gone

    heartbeat_s: float = 3.0
    revoke_timeout_s: float = 5.0  # for a running transaction at a rebalance; below the session timeout
    retry_first_s: float = 0.1
    retry_most_s: float = 5.0
    fences_most: int = 5  # so often within `fences_window_s`, and the worker ends
    fences_window_s: float = 60.0
    refusal_grace_s: float = 10.0  # for a member with other topics to leave again
    poll_failures_most: int = 20  # in a row, with pauses up to `retry_most_s`
    stuck_s: float = 60.0  # the end moves, the position does not
    shutdown_timeout_s: float = 20.0
    ready_lag_records: int = 100_000  # with more to do the worker is not ready

    @property
    def transaction_bound_s(self) -> float:
        """From begin to commit; past the broker's own limit the outcome is decided there."""
        return self.transaction_timeout_s

    @property
    def own(self) -> tuple[str, ...]:
        """The topics that only the join reads and writes."""
        return (self.state_topic,) if self.history_topic is None else (self.state_topic, self.history_topic)

    def transactional_id(self, number: int) -> str:
        """The id that fences: never a worker's name, always the partition's."""
        return f"{self.app}.{self.group}.{number}"


def from_settings(
    settings: Settings,
    inputs: Sequence[str],
    outputs: Sequence[str],
    state_topic: str,
    history_topic: str | None = None,
) -> JoinOptions:
    """The options that the settings ask for."""
    session_s = settings.session_timeout_ms / 1000
    return JoinOptions(
        app=settings.app,
        group=settings.group,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        state_topic=state_topic,
        history_topic=history_topic,
        max_records=settings.max_records,
        queue_records=2 * settings.max_records,
        poll_timeout_s=settings.poll_timeout_ms / 1000,
        send_timeout_s=settings.send_timeout_ms / 1000,
        transaction_timeout_s=settings.transaction_timeout_ms / 1000,
        heartbeat_s=settings.heartbeat_interval_ms / 1000,
        revoke_timeout_s=session_s / 2,
        refusal_grace_s=session_s,
        shutdown_timeout_s=settings.shutdown_timeout_ms / 1000,
        ready_lag_records=settings.ready_lag_records,
    )
