"""Debian's Chromium on a gateway that really listens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Dialog, Page, async_playwright

from milepost.gateway.service import Gateway, listening
from tests.gateway.serving import Served

CHROMIUM = "/usr/bin/chromium"
# Nothing but what the test asks for: no updates, no telemetry, no first-run pages.
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@asynccontextmanager
async def listened(served: Served) -> AsyncIterator[str]:
    """The gateway on a free port; its address."""
    gateway = Gateway(served.app, served.doors, listening("127.0.0.1", 0))
    task = asyncio.create_task(gateway.run())
    try:
        yield gateway.url
    finally:
        gateway.stop()
        await asyncio.wait_for(task, 30)


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser of its own."""
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield found
        finally:
            await found.close()


@asynccontextmanager
async def visit(found: Browser, url: str, path: str, **options: Any) -> AsyncIterator[Page]:
    """A page in a window of its own: what it asks of another host, or says to the console, is an error."""
    context = await found.new_context(base_url=url, **options)
    wrong: list[str] = []

    async def dismissed(dialog: Dialog) -> None:
        wrong.append(dialog.message)
        await dialog.dismiss()

    context.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(url) else None)
    context.on("console", lambda message: wrong.append(message.text))
    context.on("dialog", dismissed)
    page = await context.new_page()
    await page.goto(path)
    yield page
    await context.close()
    # An answer of 4xx is told to the console, and is what some tests are for.
    told = [one for one in wrong if "the server responded with a status of 4" not in one]
    assert told == [], told
