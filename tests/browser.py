"""Give tests a real headless Chromium.

A test that asks for `browser` or `visit` gets a Chromium of its own, on its own event loop, by Playwright's async API:
so tests stay `async def`, share the loop with a server that they start, and can't disturb each other. It costs about a
second a test, so let one test look at all that belongs together. Playwright's sync API would not do: it leaves a
running loop behind in the thread, and pytest-asyncio's tests then fail.

    @pytest.mark.browser
    async def test_page(visit):
        seen = await visit("file:///...")           # or visit(url, width=390, dark=True)
        await seen.page.get_by_role("button", name="Stop").click()
        assert not seen.complaints and not seen.requests_beyond("http://127.0.0.1:9000")
"""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

CHROMIUM_VARIABLE = "FINAGENT_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ANSWER_TIMEOUT_S = 30
PAGE_TIMEOUT_MS = 30_000
WANTED = f"install chromium or google-chrome, or run `playwright install chromium`, or set {CHROMIUM_VARIABLE}"


@dataclass
class Seen:
    """An open page, and what it said and asked for since before it was opened."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Console errors and warnings, and uncaught exceptions."""
    requests: list[str] = field(default_factory=list)
    """URLs in order, the page's own first."""

    def requests_beyond(self, start: str) -> list[str]:
        """Return the requests that do not begin so; blob: and data: URLs stay in the page."""
        return [url for url in self.requests if not url.startswith((start, "blob:", "data:"))]


Visit = Callable[..., Awaitable[Seen]]
"""visit(url, width=1280, height=900, dark=False, **options of Playwright's new_context) -> Seen, loaded."""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Give a running headless Chromium; skip where there is none, which under CI is a failure (see conftest)."""
    async with async_playwright() as playwright:
        path = found_chromium(playwright.chromium.executable_path)
        if path is None:
            pytest.skip(f"no Chromium: {WANTED}")
        # Chromium refuses to run as root with its sandbox.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        launched = await playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield launched
        finally:
            await launched.close()


@pytest.fixture
def visit(browser: Browser) -> Visit:
    """Give a function that opens a URL in a fresh context and notes what the page says and asks for."""

    async def opened(url: str, width: int = 1280, height: int = 900, dark: bool = False, **options: object) -> Seen:
        scheme = "dark" if dark else "light"
        size = {"width": width, "height": height}
        context = await browser.new_context(viewport=size, color_scheme=scheme, **options)  # type: ignore[arg-type]
        context.set_default_timeout(PAGE_TIMEOUT_MS)
        seen = Seen(await context.new_page())
        seen.page.on("console", lambda message: _note(seen, message))
        seen.page.on("pageerror", lambda error: seen.complaints.append(f"uncaught: {error}"))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        await seen.page.goto(url)
        return seen

    return opened  # the browser closes the contexts


def _note(seen: Seen, message: ConsoleMessage) -> None:
    if message.type in ("error", "warning"):
        seen.complaints.append(f"{message.type}: {message.text}")


def found_chromium(own: str) -> str | None:
    """Return the path of a Chromium that runs: the environment's, else one on PATH, else Playwright's own."""
    if given := os.environ.get(CHROMIUM_VARIABLE):
        if not _runs(given):
            pytest.fail(f"{CHROMIUM_VARIABLE} is {given!r}, which does not run", pytrace=False)
        return given
    found = [path for name in NAMES if (path := shutil.which(name))]
    return next((path for path in [*found, own] if _runs(path)), None)


def _runs(path: str) -> bool:
    """Tell whether it answers: a name may be there that only tells how to install the browser."""
    try:
        asked = subprocess.run([path, "--version"], capture_output=True, timeout=ANSWER_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0
