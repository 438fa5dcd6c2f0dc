"""Gateways on a socket: one in a thread of the test, and ones that are processes and can be killed."""

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from milepost.gateway import keys
from milepost.gateway.doors import now
from milepost.gateway.service import Gateway
from milepost.gateway.wiring import gateway_service
from milepost.settings import Settings
from milepost.sql.api_keys import ApiKey, add_key
from milepost.sql.engine import Engine, connect
from milepost.sql.migrations import migrate

ROOT = Path(__file__).parents[2]
START_S = 60
DAY_US = 86_400_000_000


def new_key(engine: Engine, *actions: str, **given: Any) -> str:
    """A new key in a migrated database; by default for every tenant and engagement."""
    secret = keys.new_secret()
    values: dict[str, Any] = {
        "key_id": secret.key_id,
        "name": secret.key_id,
        "tenant": "*",
        "engagements": ("*",),
        "actions": actions or ("*",),
        "person": None,
        "roles": (),
        "secret_sha256": keys.sha256_of(secret.text),
        "created_at": now(),
        "expires_at": now() + DAY_US,
    }
    add_key(engine, ApiKey(**(values | given)))
    return secret.text


class Running:
    """A gateway that listens."""

    def __init__(self, url: str, engine: Engine) -> None:
        self.url, self.engine = url, engine
        self.host, port = url.removeprefix("http://").split(":")
        self.port = int(port)

    def key(self, *actions: str, **given: Any) -> str:
        return new_key(self.engine, *actions, **given)

    def ask(self, method: str, path: str, key: str | None = None, **given: Any) -> httpx2.Response:
        headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **given.pop("headers", {})}
        return httpx2.request(method, self.url + path, headers=headers, **{"timeout": 30, **given})


@contextmanager
def listening(bootstrap_servers: str, database_url: str, **settings: Any) -> Iterator[Running]:
    """A gateway in a thread of its own, on a free port."""
    chosen = Settings(bootstrap_servers=bootstrap_servers, database_url=database_url, **{"gateway_port": 0, **settings})
    engine = connect(chosen.database_url.get_secret_value())
    migrate(engine)
    made: Future[tuple[Gateway, asyncio.AbstractEventLoop]] = Future()

    async def run() -> None:
        try:
            gateway = gateway_service(chosen)
        except BaseException as error:
            made.set_exception(error)
            raise
        made.set_result((gateway, asyncio.get_running_loop()))
        await gateway.run()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="gateway")
    thread.start()
    gateway, loop = made.result(START_S)
    try:
        yield Running(gateway.url, engine)
    finally:
        loop.call_soon_threadsafe(gateway.stop)
        thread.join(START_S)
        engine.dispose()
        assert not thread.is_alive()


class Process:
    """`milepost run gateway` as a process of its own."""

    def __init__(self, **settings: Any) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MILEPOST_")}
        chosen = {"gateway_port": 0, "log_format": "json", **settings}
        environment |= {f"MILEPOST_{name.upper()}": str(value) for name, value in chosen.items()}
        command = [str(Path(sys.executable).with_name("milepost")), "run", "gateway"]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until = time.monotonic() + START_S
        while not (found := [re.search(r'"url": "(http://[^"]+)"', line) for line in list(self.lines)]) or not any(
            found
        ):
            assert self.process.poll() is None, self.lines
            assert time.monotonic() < until, self.lines
            time.sleep(0.05)
        self.url = next(match[1] for match in found if match)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def kill(self) -> None:
        """As a crash."""
        self.process.kill()
        self._end()

    def stop(self) -> int:
        """As asked; the exit status."""
        self.process.terminate()
        return self._end()

    def _end(self) -> int:
        status = self.process.wait(START_S)
        self._reader.join(START_S)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status
