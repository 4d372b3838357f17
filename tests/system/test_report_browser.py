"""The demo's report as a reader opens it: a real browser, from a file, without a network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from infra.report import report
from tests.browser import Seen, Visit
from tests.unit.infra.test_report import EVIL
from tests.unit.infra.test_report import found as study_fixture

pytestmark = pytest.mark.browser
found = study_fixture


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """Give the URL of the demo's report and the demo's result."""
    folder = tmp_path_factory.mktemp("demo")
    told = finagent(folder, "demo", "--json")
    return (folder / ".finagent/demo/report.html").as_uri(), json.loads(told.splitlines()[-1])


def finagent(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "infra.cli", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=110, cwd=folder).stdout


async def opened(visit: Visit, url: str, **options: Any) -> Seen:
    seen = await visit(url, **options)
    await seen.page.wait_for_selector('html[data-state="ready"]')
    return seen


async def drawn(page: Page) -> list[int]:
    """Return for each chart in sight the number of marks that have a length: curves, areas, bars."""
    script = """charts => charts.map(chart => [...chart.querySelectorAll(
        '.scatterlayer path, .barlayer path')].filter(path => path.getTotalLength() > 1).length)"""
    counts: list[int] = await page.eval_on_selector_all(".part:not([hidden]) .chart", script)
    return counts


async def test_it_opens_from_a_file_draws_every_chart_and_asks_for_nothing_else(
    visit: Visit, demo: tuple[str, dict[str, Any]]
) -> None:
    url, result = demo
    seen = await opened(visit, url)
    page = seen.page
    assert await page.title() == "FinAgent demo"
    first = await drawn(page)
    assert len(first) == 7
    assert min(first) >= 1
    assert first[0] >= 6  # three equity curves, three drawdowns
    shown = {
        await each.get_attribute("data-figure"): float(await each.get_attribute("data-value") or "nan")
        for each in await page.locator("#part-0 [data-figure]").all()
    }
    assert len(shown) == 5
    assert shown == {name: result["performance_metrics"][name] for name in shown}
    headline = await page.locator('#part-0 [data-figure="final_value"]').inner_text()
    assert headline == f"{result['final_equity']:,.2f}"
    assert await page.locator("#part-0 .badge").inner_text() == "REAL DATA"
    await page.get_by_role("tab", name="Act two").click()
    second = await drawn(page)
    assert len(second) == 6
    assert min(second) >= 1
    assert await page.locator("#part-1 .badge").inner_text() == "SYNTHETIC DATA"
    assert not seen.complaints
    assert seen.requests == [url]


async def test_a_fill_opens_down_to_the_market_data_with_the_keyboard(
    visit: Visit, demo: tuple[str, dict[str, Any]]
) -> None:
    seen = await opened(visit, demo[0])
    page = seen.page
    fills = page.locator("section", has=page.get_by_role("heading", name="Fills and why they happened"))
    button = fills.locator("button.open").first
    fill_id = await button.get_attribute("data-chain")
    await button.focus()
    await page.keyboard.press("Enter")
    assert await button.get_attribute("aria-expanded") == "true"
    links = fills.locator("tr.chain li")
    roles = [await each.inner_text() for each in await links.locator("b").all()]
    assert roles[:6] == ["fill", "matched on", "order", "proposal", "signal", "market data"]
    said = await links.nth(5).inner_text()
    assert re.search(r"1d bar of \S+, session 2012-\d\d-\d\d: open .* bars\[\d\]@\d+", said, re.DOTALL), said
    assert await links.first.get_attribute("data-id") == fill_id
    await page.keyboard.press("Enter")
    assert await links.count() == 0
    await page.locator("#tab-0").focus()
    await page.keyboard.press("ArrowRight")
    assert await page.locator("#tab-1").get_attribute("aria-selected") == "true"
    assert await page.locator("#part-1").is_visible()
    assert await page.locator("#part-0").is_hidden()
    assert not seen.complaints


@pytest.mark.parametrize("dark", [False, True])
async def test_it_fits_a_phone_and_follows_the_colour_scheme(
    visit: Visit, demo: tuple[str, dict[str, Any]], dark: bool
) -> None:
    seen = await opened(visit, demo[0], width=390, height=844, dark=dark, has_touch=True)
    page = seen.page
    for tab in ("#tab-0", "#tab-1"):
        await page.click(tab)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        widths = await page.eval_on_selector_all(
            ".part:not([hidden]) .chart svg.main-svg", "all => all.map(each => each.getBoundingClientRect().right)"
        )
        assert widths
        assert max(widths) <= 390
    await page.click("#tab-0")
    curve = page.locator("#part-0 .scatterlayer .js-line").first
    light, shade = "rgb(0, 114, 178)", "rgb(86, 180, 233)"
    await expect(curve).to_have_css("stroke", shade if dark else light)
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(15, 20, 27)" if dark else "rgb(246, 247, 249)")
    await page.emulate_media(color_scheme="light" if dark else "dark")
    await expect(curve).to_have_css("stroke", light if dark else shade)
    assert not seen.complaints


async def test_the_basics_of_access(visit: Visit, demo: tuple[str, dict[str, Any]]) -> None:
    page = (await opened(visit, demo[0])).page
    assert await page.get_attribute("html", "lang") == "en"
    headings = await page.eval_on_selector_all(
        "#part-0 :is(h1,h2,h3)", "all => all.map(each => [Number(each.tagName[1]), each.textContent.trim()])"
    )
    assert [level for level, _ in headings] == [1] + [2] * (len(headings) - 1)
    assert all(text for _, text in headings)
    unnamed = await page.evaluate(
        """[...document.querySelectorAll('button, [role=img], [role=region], table, section')].filter(each => {
            const by = each.getAttribute('aria-labelledby');
            const name = each.getAttribute('aria-label') || (by && document.getElementById(by)?.textContent)
                || (each.tagName === 'BUTTON' && each.textContent);
            return !name || !name.trim();
        }).map(each => each.outerHTML.slice(0, 120))"""
    )
    assert unnamed == []
    repeated = await page.evaluate(
        "(ids => ids.filter((id, at) => ids.indexOf(id) !== at))([...document.querySelectorAll('[id]')].map(e => e.id))"
    )
    assert [each for each in repeated if not each.startswith(("clip", "legend", "topdefs"))] == []


async def test_the_equity_chart_has_a_log_scale_and_a_table(visit: Visit, demo: tuple[str, dict[str, Any]]) -> None:
    seen = await opened(visit, demo[0])
    page = seen.page
    button = page.get_by_role("button", name="Log scale").first
    axis = "document.querySelector('#part-0 .chart')._fullLayout.yaxis.type"
    assert await page.evaluate(axis) == "linear"
    await button.click()
    assert await page.evaluate(axis) == "log"
    assert await button.get_attribute("aria-pressed") == "true"
    await page.get_by_text("The chart as a table").first.click()
    cells = await page.locator("details[open] tbody tr").last.locator("td").all_inner_texts()
    assert cells[1] == f"{demo[1]['final_equity']:,.2f}"
    assert not seen.complaints


async def test_text_from_outside_does_nothing(visit: Visit, tmp_path: Path, found: Any) -> None:
    path = tmp_path / "evil.html"
    first = next(iter(found.chains))
    said = [replace(link, says=EVIL, role=EVIL) for link in found.chains[first]]
    evil = replace(found, chains={**found.chains, first: said}, notes=(EVIL,))
    path.write_text(report(EVIL, [evil, replace(evil, title="another")]))
    seen = await opened(visit, path.as_uri())
    page = seen.page
    await page.locator(f'button[data-chain="{first}"]').first.click()
    assert "alert(1)" in await page.locator("tr.chain").first.inner_text()
    assert EVIL in await page.locator("h1").first.inner_text()
    assert await page.evaluate("document.images.length") == 0
    assert not seen.complaints
    assert seen.requests == [path.as_uri()]
    # Even what got in would not run: the page's policy knows its own scripts alone.
    await page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))"
    )
    assert await page.evaluate("window.ran") is None


async def test_a_backtest_and_a_monte_carlo_draw_too(visit: Visit, tmp_path: Path) -> None:
    strategy = str(Path(__file__).parents[2] / "examples" / "strategies" / "momentum.yaml")
    span = [strategy, "--start", "2012-01-03", "--end", "2012-04-30"]
    told = finagent(tmp_path, "backtest", *span, "--report", "one.html", "--png", "one.png", "--json")
    (tmp_path / "mc.json").write_text(finagent(tmp_path, "sandbox", "monte-carlo", *span, "--paths", "5", "--json"))
    finagent(tmp_path, "report", "mc.json", "--out", "mc.html")
    assert (tmp_path / "one.png").read_bytes()[:4] == b"\x89PNG"
    for name, charts in (("one.html", 7), ("mc.html", 2)):
        seen = await opened(visit, (tmp_path / name).as_uri())
        counts = await drawn(seen.page)
        assert len(counts) == charts, name
        assert min(counts) >= 1
        assert not seen.complaints
    page = (await opened(visit, (tmp_path / "one.html").as_uri())).page
    ended = await page.get_attribute('[data-figure="final_value"]', "data-value")
    assert float(ended or "nan") == json.loads(told)["final_equity"]
    command = await page.locator("pre code").first.inner_text()
    given = "--source sample --start 2012-01-03 --end 2012-04-30 --fill next_open --report report.html"
    assert command == f"finagent backtest {strategy} {given}"


async def test_it_prints_both_parts_on_white(visit: Visit, demo: tuple[str, dict[str, Any]], tmp_path: Path) -> None:
    seen = await opened(visit, demo[0], dark=True)
    pdf = await seen.page.pdf(path=tmp_path / "report.pdf", format="A4", print_background=True)
    assert pdf[:5] == b"%PDF-"
    assert await seen.page.get_attribute("html", "data-print") is None
    assert not seen.complaints
