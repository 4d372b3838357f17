"""The dashboard in a real browser, against a real `finagent serve`: what a user sees, types and clicks."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser import Seen, Visit
from tests.system.served import SAMPLE_FEED, served

pytestmark = pytest.mark.browser
SECTIONS = (
    "overview",
    "strategies",
    "workflows",
    "decisions",
    "positions",
    "backtests",
    "system",
    "submit",
    "new-backtest",
)
FEED = (*SAMPLE_FEED, "--start", "2005-01-03", "--pace", "12")
PHONE = 390
STEPS = ("fetch_data", "generate_signals", "assess_risk", "construct_targets", "estimate_cost", "start_run")
LONG_MS = 30_000
KEY = "a-key-of-the-test"


@pytest.fixture(scope="module", autouse=True)
def _patience() -> Iterator[None]:
    """Let what is expected take as long as a busy machine needs."""
    expect.set_options(timeout=LONG_MS)
    yield
    expect.set_options(timeout=None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a server that publishes real daily bars once a strategy runs; the tests share it."""
    with served(tmp_path_factory.mktemp("served"), *FEED) as url:
        yield url


async def opened(visit: Visit, server: str, section: str = "overview", **options: object) -> Seen:
    seen = await visit(f"{server}/#/{section}", **options)
    await expect(connection(seen.page)).to_have_text("Live")
    return seen


def connection(page: Page) -> Locator:
    return page.locator(".connection")


def rows(page: Page, table: str) -> Locator:
    return page.get_by_role("table", name=table).locator("tbody tr")


async def show(page: Page, section: str) -> None:
    await page.evaluate("section => { location.hash = `#/${section}` }", section)
    await expect(page.get_by_role("heading", level=1)).to_be_visible()


async def start(page: Page, strategy_id: str, **fields: str) -> None:
    """Submit a strategy by the form and wait until it is on the data plane."""
    await show(page, "submit")
    wanted = {"Strategy id": strategy_id, "Symbols": "AAPL, IBM, MSFT", "Lookback, bars": "3", **fields}
    for label, value in wanted.items():
        await page.get_by_label(label).fill(value)
    await page.get_by_role("button", name="Start strategy").click()
    await expect(page).to_have_url(re.compile(f"#/strategies/{strategy_id}$"))
    await expect(page.locator("main .title-row .badge")).to_have_text("Active")


async def confirm(page: Page, action: str, reason: str | None = None) -> None:
    dialog = page.get_by_role("dialog")
    if reason:
        await dialog.get_by_label("Reason").fill(reason)
    await dialog.get_by_role("button", name=action).click()
    await expect(dialog).to_be_hidden()


async def account_of(page: Page, strategy_id: str) -> str:
    found = await page.evaluate("id => fetch(`/strategies/${id}`).then((answer) => answer.json())", strategy_id)
    return str(found["account_id"])


async def test_every_section_is_quiet_offline_and_fits(visit: Visit, server: str) -> None:
    seen = await opened(visit, server)
    light = await seen.page.screenshot()
    for width in (1280, PHONE):
        await seen.page.set_viewport_size({"width": width, "height": 844})
        for section in SECTIONS:
            await show(seen.page, section)
            await expect(seen.page.get_by_text("Loading.", exact=True)).to_have_count(0)
            beyond = await seen.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert beyond <= 0, f"{section} is {beyond} px too wide at {width} px"
            unnamed = await seen.page.evaluate(UNNAMED)
            assert unnamed == [], f"{section} has controls without a name: {unnamed}"
    assert seen.complaints == []
    assert seen.requests_beyond(server) == []
    await seen.page.set_viewport_size({"width": 1280, "height": 900})
    await show(seen.page, "overview")
    await seen.page.get_by_label("Theme").select_option("dark")
    assert await seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 25)"
    assert await seen.page.screenshot() != light
    await seen.page.reload()
    await expect(seen.page.get_by_label("Theme")).to_have_value("dark")


UNNAMED = """() => [...document.querySelectorAll("button, a[href], input, select, dialog, table")]
    .filter((each) => !(each.innerText?.trim() || each.ariaLabel || each.labels?.length || each.caption))
    .map((each) => each.outerHTML.slice(0, 120))"""


async def test_dark_scheme_of_the_system_is_followed(visit: Visit, server: str) -> None:
    seen = await opened(visit, server, dark=True)
    assert await seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 25)"


async def test_submitted_strategy_trades_and_is_cancelled(visit: Visit, server: str) -> None:
    seen = await opened(visit, server, "submit")
    page = seen.page
    await start(page, "trader", **{"Initial cash": "250000"})
    await expect(page.locator(".notices")).to_contain_text("Strategy trader: active.")
    drawing = page.locator(".chart canvas")
    await expect(drawing).to_have_count(2)
    first = int(await page.locator(".chart").get_attribute("data-points") or 0)
    await expect(page.locator(".chart")).to_have_attribute("data-points", re.compile(f"^(?!{first}$)"))
    assert await drawing.first.evaluate(DRAWN) > 100
    for step in STEPS:
        await expect(page.locator(f'.dag [data-step="{step}"]')).to_have_attribute("data-state", "completed")

    await show(page, "decisions")
    await page.get_by_label("Strategy").select_option("trader")
    await page.get_by_role("tab", name="Fills").click()
    await expect(rows(page, "Fills").first).to_be_visible(timeout=LONG_MS)
    assert await rows(page, "Fills").count() <= int(await page.locator("[aria-selected=true] .tally").inner_text())
    await page.get_by_role("button", name="Why fill").first.click()
    chain = page.get_by_role("dialog").locator(".chain li strong")
    await expect(chain.first).to_have_text("Fill")
    said = await chain.all_inner_texts()
    assert said[:6] == ["Fill", "Matched on", "Order", "Proposal", "Signal", "Market data"]
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_role("tab", name="Orders").click()
    await expect(rows(page, "Orders").get_by_text("Filled", exact=True).first).to_be_visible()

    await show(page, "overview")
    await expect(page.locator(".figures.key").get_by_text(re.compile("USD$"))).to_be_visible()
    await show(page, "strategies/trader")
    await page.get_by_role("button", name="Cancel strategy trader").click()
    await confirm(page, "Cancel strategy")
    await expect(page.locator("main .title-row .badge")).to_have_text("Stopped")
    await expect(page.get_by_role("button", name="Cancel strategy trader")).to_have_count(0)
    assert seen.complaints == []


DRAWN = """(canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let inked = 0;
    for (let i = 3; i < data.length; i += 4) inked += data[i] > 0;
    return inked;
}"""


async def test_kill_switch_denies_and_is_released(visit: Visit, server: str) -> None:
    seen = await opened(visit, server, "submit")
    page = seen.page
    await start(page, "halted")
    account = await account_of(page, "halted")
    await show(page, "positions")
    await page.get_by_role("button", name=f"Trip kill switch of {account}").click()
    await expect(page.get_by_role("dialog")).to_contain_text(account)
    await page.get_by_role("dialog").get_by_role("button", name="Trip kill switch").click()
    await expect(page.get_by_label("Reason")).to_have_attribute("aria-invalid", "true")
    await confirm(page, "Trip kill switch", "prices look wrong")
    panel = page.locator("section.panel.account", has_text=account)
    await expect(panel.locator(".badge")).to_have_text("Kill switch tripped")
    await expect(panel).to_contain_text("prices look wrong")
    await expect(page.locator("header .chip.bad")).to_have_text("Kill switch tripped")

    await show(page, "decisions")
    await page.get_by_role("tab", name="Denials").click()
    denial = rows(page, "Denials").filter(has_text="halted").filter(has_text="KILL_SWITCH")
    await expect(denial.first).to_be_visible(timeout=LONG_MS)

    await show(page, "positions")
    await page.get_by_role("button", name=f"Release kill switch of {account}").click()
    await confirm(page, "Release kill switch", "prices are right again")
    await expect(panel.locator(".badge")).to_have_text("Trading allowed")
    assert seen.complaints == []


async def test_form_tells_what_is_wrong_at_the_field(visit: Visit, server: str) -> None:
    seen = await opened(visit, server, "submit")
    page = seen.page
    await page.get_by_label("Lookback, bars").fill("0")
    await page.get_by_role("button", name="Start strategy").click()
    await expect(page.get_by_label("Lookback, bars")).to_be_focused()
    await expect(page.get_by_text("0 is not a whole number from 1.")).to_be_visible()
    await page.get_by_label("Lookback, bars").fill("5")
    await page.get_by_label("Initial cash").fill("1e16")  # more than the server takes
    await page.get_by_role("button", name="Start strategy").click()
    await expect(page.get_by_label("Initial cash")).to_have_attribute("aria-invalid", "true")
    await expect(page.get_by_role("alert")).to_contain_text("Unprocessable")
    assert not [each for each in seen.complaints if "422" not in each]


async def test_keyboard_alone_evaluates_a_strategy(visit: Visit, server: str) -> None:
    page = (await opened(visit, server)).page
    await tab_to(page, "Strategies")
    await page.keyboard.press("Enter")
    await tab_to(page, "New strategy")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    await tab_to(page, "Strategy id")
    await page.keyboard.press("Control+A")
    await page.keyboard.type("by_hand")
    await tab_to(page, "Run until")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("#/strategies/by_hand$"))
    await expect(page.locator("main .title-row .badge")).to_have_text("Completed")
    await expect(rows(page, "Signals")).to_have_count(3)


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until the focus stands on what has that name or label, and is seen to."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        said, outline = await page.evaluate(FOCUSED)
        if said.startswith(name):
            assert outline != "none", f"the focus on {name} does not show"
            return
    raise AssertionError(f"Tab never comes to {name!r}")


FOCUSED = """() => {
    const at = document.activeElement;
    const said = at.ariaLabel || at.labels?.[0]?.innerText || at.innerText || "";
    return [said.trim(), getComputedStyle(at).outlineStyle];
}"""


async def test_backtest_runs_and_links_its_report(visit: Visit, server: str) -> None:
    seen = await opened(visit, server, "new-backtest")
    page = seen.page
    await page.get_by_label("Symbols").fill("AAPL, MSFT")
    await page.get_by_label("Last session").fill("2012-06-29")
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.locator("main .title-row .badge")).to_have_text("Completed")
    performance = page.get_by_role("region", name="Performance")
    await expect(performance.get_by_text("Sharpe ratio", exact=True)).to_be_visible()
    await expect(performance).to_contain_text("real")
    report = await page.get_by_role("link", name="Report").get_attribute("href")
    assert (await page.request.get(f"{server}{report}")).ok
    assert seen.complaints == []


async def test_lost_server_with_a_key_shows_and_comes_back(visit: Visit, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with served(tmp_path, port=port, key=KEY) as url:
        page = (await opened(visit, url, "strategies", http_credentials={"username": "any", "password": KEY})).page
        await page.evaluate("document.body.dataset.kept = 'yes'")
        assert (await page.request.get(f"{url}/status", headers={"Authorization": "Basic none"})).status == 401
        assert KEY not in await page.evaluate("JSON.stringify([localStorage, sessionStorage, document.cookie])")
    await expect(connection(page)).to_have_text("Reconnecting")
    await expect(page.get_by_text("may be out of date")).to_be_visible()
    with served(tmp_path, port=port, key=KEY):
        await expect(connection(page)).to_have_text("Live")
        await expect(page.get_by_text("may be out of date")).to_have_count(0)
        assert await page.evaluate("document.body.dataset.kept") == "yes", "the page was loaded anew"
