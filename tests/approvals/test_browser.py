"""The page in a real browser: with and without scripts, by keyboard alone, on a phone, with markup in every field."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.approvals.approving import CONTRACT, Approving, Case
from tests.approvals.browsing import browser, listened, visit
from tests.gateway.serving import body
from tests.store.samples import PDF

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

BUTTON = "Sign and send"
# What would happen if one of them was not escaped is a dialog, which `visit` takes for an error.
MARKUP = '"><img src=x onerror=alert(1)><script>alert(2)</script></style></title>{{7*7}}&lt;'

ADDRESSES = [
    "javascript:alert(3)",
    "data:text/html,<script>alert(4)</script>",
    f"https://x.example/{MARKUP}",
    MARKUP,
    "//evil.example",
]


@dataclass
class Window:
    """A browser, and where the gateway listens."""

    browser: Browser
    url: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def window(work: Approving) -> AsyncIterator[Window]:
    async with listened(work.served) as url, browser() as found:
        yield Window(found, url)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
async def test_a_clerk_approves_with_a_file_and_the_line_appears(case: Case, window: Window, scripts: bool) -> None:
    await case.report("build")
    await case.sign(await case.link("build", "delivery_lead", "maria"))
    link = await case.link("build", "client_ap", "ana")
    async with visit(window.browser, window.url, link, java_script_enabled=scripts) as page:
        assert await page.title() == "Phase 2 - build · Milepost"
        assert await page.get_by_role("heading", level=1).inner_text() == "Phase 2 - build"
        await page.get_by_label("Approve").check()
        file = {"name": "protocol.pdf", "mimeType": "application/pdf", "buffer": PDF}
        await page.get_by_label("Attach acceptance_protocol").set_input_files([file])  # type: ignore[list-item]
        await page.get_by_label("Comment").fill("Accepted, with thanks <3")
        await page.get_by_role("button", name=BUTTON).click()
        await page.get_by_role("heading", name="You approved this submission").wait_for()
        assert await page.get_by_text("Accepted, with thanks <3").is_visible()
        assert await page.get_by_text("Counted.").is_visible()
        async with page.expect_download() as download:
            await page.get_by_role("link", name="acceptance_protocol").click()
        assert (await download.value).suggested_filename == "acceptance_protocol.pdf"
        assert (await (await download.value).path()).read_bytes() == PDF
        # A reload shows the receipt, it does not sign again.
        await page.reload()
        assert await page.get_by_role("heading", name="You approved this submission").is_visible()
    line = await case.line("build")
    assert (line.gross_minor, line.currency) == (6_000_000, "EUR")
    assert len(case.used_links("build")) == 2


async def test_the_keyboard_is_enough(case: Case, window: Window) -> None:
    await case.report("go-live")
    async with visit(window.browser, window.url, await case.link("go-live", "client_ap", "ana")) as page:
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
        # Enter in a field must not sign: nothing is chosen yet, so the browser asks for a choice.
        await page.keyboard.press("Enter")
        seen = []
        for _ in range(20):
            await page.keyboard.press("Tab")
            name = await page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()")
            seen.append(name)
            outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid", name
            if name == "decision":
                await page.keyboard.press("ArrowDown")
            elif name == "comment":
                await page.keyboard.type("Two defects are open")
            elif name == BUTTON:
                break
        assert seen[-3:] == ["decision", "comment", BUTTON]
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="You rejected this submission").wait_for()
    (link,) = case.used_links("go-live")
    assert link.decision == "REJECTED"


async def test_a_fault_is_said_where_it_is_and_nothing_is_lost(case: Case, window: Window) -> None:
    await case.report("build", completion="80")
    link = await case.link("build", "client_ap", "ana")
    async with visit(window.browser, window.url, link) as page:
        await page.get_by_role("button", name=BUTTON).click()
        # The browser asks for the choice by itself; the server is asked nothing.
        assert await page.get_by_role("alert").count() == 0
        await page.get_by_label("Approve").check()
        await page.get_by_label("Certify less than 80 % (optional)").fill("81")
        await page.get_by_label("Comment").fill("as measured")
        await page.get_by_role("button", name=BUTTON).click()
        alert = page.get_by_role("alert")
        await alert.wait_for()
        assert await page.title() == "Error: Phase 2 - build · Milepost"
        assert await alert.get_by_role("link").count() == 2
        for name in ("Certify less than 80 % (optional)", "Attach acceptance_protocol"):
            field = page.get_by_label(name)
            assert await field.get_attribute("aria-invalid") == "true"
            described = await field.get_attribute("aria-describedby")
            assert (await page.locator(f"[id='{described}']").inner_text()).startswith("Error: ")
        assert await page.get_by_label("Comment").input_value() == "as measured"
        assert await page.get_by_label("Approve").is_checked()
        await alert.get_by_role("link").first.click()
        assert await page.evaluate("location.hash") != ""
    assert case.used_links("build") == []


async def outline(page: Page) -> list[tuple[int, str]]:
    """Levels and texts of the headings."""
    found = await page.locator("h1, h2, h3, h4").evaluate_all(
        "all => all.map(h => [Number(h.tagName[1]), h.innerText])"
    )
    return [(level, text) for level, text in found]


@pytest.mark.parametrize("width", [320, 390, 1280])
async def test_it_fits_a_phone_and_says_what_it_is(case: Case, window: Window, width: int) -> None:
    await case.report("build")
    link = await case.link("build", "client_ap", "ana")
    size = {"width": width, "height": 800}
    async with visit(window.browser, window.url, link, viewport=size) as page:
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert await page.get_attribute("html", "lang") == "en"
        levels = [level for level, _ in await outline(page)]
        assert levels.count(1) == 1
        assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
        for landmark in ("main", "banner", "contentinfo"):
            assert await page.get_by_role(landmark).count() == 1
        unnamed = await page.locator("input:not([type=hidden]), select, textarea, button").evaluate_all(
            "all => all.filter(e => !e.labels?.length && !e.textContent.trim()).map(e => e.outerHTML)"
        )
        assert unnamed == []
        low = await page.locator("button, .choice").evaluate_all("all => all.filter(e => e.offsetHeight < 44).length")
        assert low == 0  # what a thumb hits


async def test_markup_in_any_field_is_text(work: Approving, window: Window) -> None:
    """Whatever contract, report, evidence or comment say is shown as it was written, and runs nowhere."""
    contract = {
        **CONTRACT,
        "customer": {"id": "acme", "name": f"Acme {MARKUP}"},
        "supplier": {"id": "northwind", "name": f"Northwind {MARKUP}"},
        "purchase_order": f"PO {MARKUP}",
        "milestones": [
            {**one, "name": f"{one['name']} {MARKUP}", "criteria": f"When {MARKUP}"} for one in CONTRACT["milestones"]
        ],
    }
    case = await work.case(contract)
    key = case.served.key("evidence:write")
    path = f"/v1/evidence?engagement_id={case.engagement}"
    kept = body(await case.served.ask("POST", path, key, content=PDF, headers={"Content-Type": "application/pdf"}))
    evidence = [{**kept, "name": f"here {MARKUP}"}]
    for number, uri in enumerate(ADDRESSES):
        piece = {"media_type": f"x/{MARKUP}", "size_bytes": 1, "sha256": f"{number}" * 64, "uri": uri}
        evidence.append({**piece, "name": f"{number} {MARKUP}"})
    await case.report("go-live", evidence=evidence)
    async with visit(window.browser, window.url, await case.link("go-live", "client_ap", "ana")) as page:
        shown = await page.locator("main").inner_text()
        for text in (f"Acme {MARKUP}", f"Northwind {MARKUP}", f"PO {MARKUP}", f"When {MARKUP}", f"here {MARKUP}"):
            assert text in shown
        hrefs = await page.locator("main a").evaluate_all("all => all.map(a => a.protocol + '//' + a.hostname)")
        assert set(hrefs) == {"http://127.0.0.1", "https://x.example"}
        assert await page.locator("script, img, iframe, object").count() == 0
        await page.get_by_label("Reject").check()
        await page.get_by_label("Comment").fill(f"Because {MARKUP}")
        await page.get_by_role("button", name=BUTTON).click()
        await page.get_by_role("heading", name="You rejected this submission").wait_for()
        assert f"Because {MARKUP}" in await page.locator("main").inner_text()
        assert await page.locator("script, img, iframe, object").count() == 0


async def test_markup_that_is_not_escaped_would_be_noticed(case: Case, window: Window) -> None:
    """The controls of the test before: the page's own policy stops it, and whoever looks sees that."""
    await case.report("go-live")
    link = await case.link("go-live", "client_ap", "ana")

    async def with_policy() -> None:
        async with visit(window.browser, window.url, link) as page:
            await page.evaluate("text => document.querySelector('main').innerHTML += text", MARKUP)
            await page.wait_for_timeout(300)
            assert await page.locator("img").count() == 1

    async def without_policy() -> None:
        async with visit(window.browser, window.url, "about:blank") as page:
            await page.set_content(f"<p>{MARKUP}</p>")
            await page.wait_for_timeout(300)

    with pytest.raises(AssertionError, match="Content Security Policy"):
        await with_policy()
    with pytest.raises(AssertionError, match="'1'"):
        await without_policy()
