"""Signing as a process: anchors at their interval, and in between a look at what they need, for `/ready`."""

import asyncio
import contextlib
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from milepost.audit.anchors import Past, public_key_of
from milepost.kafka.looking import LOOK_S
from milepost.kafka.publishing import Publisher, PublishError
from milepost.kafka.scanning import ScanError
from milepost.observe import health, logs, metrics
from milepost.observe.hosting import StoppedError
from milepost.operations.anchoring import (
    TOPIC,
    AnchorError,
    Signer,
    anchor,
    compare_published,
    hashes_of,
    trusted_keys,
)
from milepost.settings import Settings
from milepost.sql.engine import DatabaseError, Engine, UnavailableError, connect, ping
from milepost.sql.migrations import migrate

__all__ = ["Anchoring", "anchoring_service"]

_log = logs.logger(__name__)


class Anchoring:
    """Signs with `key` at the settings' interval, onto the topic and into `file`.

    `run()` returns after `stop()` and waits, saying for what, while brokers, the database or the file's disk are away.
    It raises `StoppedError` where going on would sign something untrue, and for a database of a newer release.
    """

    def __init__(self, settings: Settings, engine: Engine, key: Ed25519PrivateKey, file: Path | None) -> None:
        self._settings, self._engine, self._key, self._file = settings, engine, key, file
        self._publisher, self._interval_s = Publisher(settings), settings.anchor_interval_s
        # what was read of the anchors is remembered: who changes them in the database meanwhile is found out
        self._past = Past([public_key_of(key), *trusted_keys(settings)])
        self._stopping = asyncio.Event()
        self._migrated = False
        self._signed_at: float | None = None  # on the monotonic clock; None: not since something was away
        self._waits_for: str | None = "has not begun"

    def stop(self) -> None:
        """Finish the anchor that is being signed and return from `run()`."""
        self._stopping.set()

    def waits_for(self) -> str | None:
        """What keeps it from signing, in a sentence; None: it is ready."""
        return self._waits_for

    async def run(self) -> None:
        """Sign until `stop()`; see the class for what it raises."""
        health.watch("anchors", self.waits_for)
        try:
            while not self._stopping.is_set():
                await self._round()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), LOOK_S)
        except (AnchorError, DatabaseError) as error:
            raise StoppedError(str(error)) from error
        finally:
            health.forget("anchors")
            self._engine.dispose()

    async def _round(self) -> None:
        """Sign where it is time, else look; what is away now is asked again, and signed as soon as it is back."""
        due = self._signed_at is None or time.monotonic() - self._signed_at >= self._interval_s
        try:
            await asyncio.to_thread(self._sign if due else self._look)
            self._waits_for = None
        except UnavailableError as error:
            self._wait(f"waiting for the database: {error}", due)
        except (PublishError, ScanError) as error:
            self._wait(f"waiting for Kafka: {error}", due)
        except OSError as error:
            self._wait(f"waiting for {self._file} (MILEPOST_ANCHOR_FILE): {error}", due)

    def _wait(self, why: str, due: bool) -> None:
        if due:
            self._signed_at = None
        if why != self._waits_for:
            _log.warning(why, again_in_s=LOOK_S)
        self._waits_for = why

    def _sign(self) -> None:
        if not self._migrated:
            migrate(self._engine)
            self._migrated = True
        if self._past.number == 0:
            compare_published(self._settings, self._engine)
        signer = Signer(self._engine, self._key, hashes_of(self._settings), self._past)
        count = anchor(signer, self._publisher, self._file, time.time_ns() // 1000)
        self._signed_at = time.monotonic()
        metrics.ANCHORS_SIGNED.inc(count)
        metrics.ANCHORS_COMPLETE.set_to_current_time()
        _log.info("signed", anchors=count, public_key=public_key_of(self._key))

    def _look(self) -> None:
        ping(self._engine)
        self._publisher.prepare([TOPIC])


def anchoring_service(settings: Settings, key: Ed25519PrivateKey, file: Path | None) -> Anchoring:
    """One as the settings want it, not running; make it inside the event loop that will run it.

    Raises `StoppedError` for a database that cannot be used.
    """
    try:
        engine = connect(settings.database_url.get_secret_value())
    except DatabaseError as error:
        raise StoppedError(str(error)) from error
    return Anchoring(settings, engine, key, file)
