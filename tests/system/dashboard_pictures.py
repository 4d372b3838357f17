"""Take the pictures of the dashboard that docs/dashboard.md shows: `python -m tests.system.dashboard_pictures`."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser import found_chromium
from tests.system.served import ROOT, SAMPLE_FEED, served

IMAGES = ROOT / "docs" / "images"
RANGE = ("--start", "2009-01-02", "--end", "2012-12-31", "--pace", "20")
STRATEGIES: tuple[Mapping[str, object], ...] = (
    {
        "strategy_id": "momentum-1",
        "name": "Momentum",
        "symbols": ["AAPL", "GOOGL", "MSFT"],
        "parameters": {"strategy_type": "momentum", "position_size": 0.32},
    },
    {
        "strategy_id": "mean_reversion-1",
        "name": "Mean reversion",
        "symbols": ["AAPL", "IBM", "MSFT"],
        "parameters": {"strategy_type": "mean_reversion"},
    },
)
SLICES = 400
WAIT_MS = 120_000
DESKTOP, PHONE = (1440, 900), (390, 844)


async def take(url: str) -> None:
    """Start the strategies, let them trade for a while, and take each picture."""
    IMAGES.mkdir(exist_ok=True)
    expect.set_options(timeout=WAIT_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=found_chromium(playwright.chromium.executable_path), args=["--no-sandbox"]
        )
        page = await _page(browser, url, DESKTOP)
        for strategy in STRATEGIES:
            answer = await page.request.post(f"{url}/strategies", data={**strategy, "action": "run"})
            assert answer.ok, await answer.text()
        await page.wait_for_function(
            "wanted => +document.querySelector('.chart')?.dataset.points >= wanted", arg=SLICES
        )
        await page.screenshot(path=IMAGES / "dashboard.png")
        await _section(page, "workflows")
        await expect(page.locator("main details").first).to_be_visible()
        await page.screenshot(path=IMAGES / "dashboard-workflow.png")
        dark = await _page(browser, url, DESKTOP, dark=True)
        await _section(dark, "positions")
        await dark.screenshot(path=IMAGES / "dashboard-risk.png")
        phone = await _page(browser, url, PHONE)
        await expect(phone.locator(".chart canvas")).to_have_count(2)
        await phone.screenshot(path=IMAGES / "dashboard-phone.png")
        await browser.close()


async def _page(browser: Browser, url: str, size: tuple[int, int], *, dark: bool = False) -> Page:
    viewport = {"width": size[0], "height": size[1]}
    context = await browser.new_context(viewport=viewport, color_scheme="dark" if dark else "light")  # type: ignore[arg-type]
    context.set_default_timeout(WAIT_MS)
    page = await context.new_page()
    await page.goto(url)
    await expect(page.locator(".connection")).to_have_text("Live")
    return page


async def _section(page: Page, name: str) -> None:
    await page.evaluate("name => { location.hash = `#/${name}` }", name)
    await expect(page.locator("main table").first).to_be_visible()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, served(Path(folder), *SAMPLE_FEED, *RANGE) as address:
        asyncio.run(take(address))
