"""Make the pictures of docs/images: `python -m tests.pictures`, or `make pictures`; needs a Chromium."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, async_playwright

from agents.data.fetch import FetchParameters, fetch
from agents.data.slicing import bar_slices
from agents.data.sources import SampleProvider
from infra.demo import DemoPlan
from infra.report.picture import picture
from orchestrator.backtest import BacktestPlan, following
from orchestrator.settings import load
from orchestrator.study import study
from orchestrator.wiring import pools_of
from tests.browser import WANTED, found_chromium

FOLDER = Path(__file__).parents[1] / "docs" / "images"
LARGEST = 400_000
"""Bytes of a picture."""


def main() -> None:
    """Draw the demo's main chart, and photograph its report wide and light, narrow and dark."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    asyncio.run(_chart(FOLDER / "report.png"))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "infra.cli", "demo"], check=True, cwd=folder, capture_output=True)
        asyncio.run(_photographs((Path(folder) / ".finagent/demo/report.html").as_uri()))
    for path in sorted(FOLDER.glob("report*.png")):
        size = path.stat().st_size
        sys.stdout.write(f"{path.name}: {size:,} bytes\n")
        if size > LARGEST:
            sys.exit(f"{path.name} has {size:,} bytes, expected at most {LARGEST:,}")


async def _photographs(url: str) -> None:
    async with async_playwright() as playwright:
        path = found_chromium(playwright.chromium.executable_path)
        if path is None:
            sys.exit(f"no Chromium: {WANTED}")
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        await _photograph(browser, url, FOLDER / "report-page.png", width=1280, dark=False)
        await _photograph(browser, url, FOLDER / "report-phone.png", width=390, dark=True, height=1500)
        await browser.close()


async def _chart(path: Path) -> None:
    plan = DemoPlan()
    fetched = fetch(SampleProvider(), FetchParameters(symbols=plan.symbols, start=plan.start, end=plan.end))
    slices = list(bar_slices(bar for block in fetched.blocks for bar in block.bars()))
    settings = load(overrides={"log_level": "WARNING"}, environ={})
    tested = BacktestPlan(plan.daily(), fetched.instruments, settings, fetched.provider, plan.initial_cash)
    found = await study(tested, lambda: following(slices), lambda each: pools_of(each.settings, each.fill))
    picture(found, path)


async def _photograph(
    browser: Browser, url: str, path: Path, *, width: int, dark: bool, height: int | None = None
) -> None:
    page = await browser.new_page(
        viewport={"width": width, "height": height or 900}, color_scheme="dark" if dark else "light"
    )
    await page.goto(url)
    await page.wait_for_selector('html[data-state="ready"]')
    shot = await page.screenshot(full_page=height is None)
    # Two hundred colours are enough for text and charts, at a third of the size.
    Image.open(BytesIO(shot)).convert("RGB").quantize(200, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
