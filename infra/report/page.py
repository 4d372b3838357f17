"""One self-contained HTML file: styles, script, plotly.js and data inside, and a policy that lets nothing else in."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from infra.report.content import Figure, Part, Section, packed


def page(title: str, sections: Sequence[Section | Part]) -> str:
    """Return a page of sections, or of parts of which it shows one at a time."""
    parts = [each for each in sections if isinstance(each, Part)]
    plain = [each for each in sections if isinstance(each, Section)]
    if plain:
        parts = [Part(title, plain), *parts]
    many = len(parts) > 1
    body = "".join(_part(part, at, many) for at, part in enumerate(parts))
    figures = {name: figure.spec for at, part in enumerate(parts) for name, figure in _figures(part, at)}
    data = {"figures": figures, "chains": packed(part.chains for part in parts)}
    version, code, _ = _plotly()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy())}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)}</title>'
        f"<style>{_asset('page.css')}</style></head><body>"
        f"<main>{_tabs(parts) if many else ''}{body}</main>"
        f"<footer>FinAgent Orchestration. Charts by plotly.js {escape(version)} (MIT). "
        "For research and paper trading; no investment advice.</footer>"
        '<noscript><p class="note">Charts and decision chains need JavaScript; tables do not.</p></noscript>'
        f'<script type="application/json" id="data">{_json(data)}</script>'
        f'<script type="text/plain" id="plotly">{code}</script>'
        f"<script>{_asset('page.js')}</script></body></html>\n"
    )


def policy() -> str:
    """Return the page's Content-Security-Policy: its own two scripts by their hashes, and no request at all."""
    scripts = " ".join(f"'sha256-{each}'" for each in (_hash(_asset("page.js").encode()), _plotly()[2]))
    allowed = f"script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _tabs(parts: Sequence[Part]) -> str:
    tabs = "".join(
        f'<button type="button" role="tab" id="tab-{at}" aria-controls="part-{at}" '
        f'aria-selected="{"false" if at else "true"}"{" tabindex=-1" if at else ""}>{escape(part.title)}</button>'
        for at, part in enumerate(parts)
    )
    return f'<div class="tabs" role="tablist" aria-label="Parts of the report">{tabs}</div>'


def _part(part: Part, at: int, many: bool) -> str:
    intro = "".join(block.html(f"part{at}-intro-{place}") for place, block in enumerate(part.intro))
    sections = "".join(each.html(f"part{at}-{place}", 2) for place, each in enumerate(_paired(part.sections)))
    panel = f' role="tabpanel" aria-labelledby="tab-{at}" tabindex="0"{" hidden" if at else ""}' if many else ""
    badge = f' <span class="badge">{escape(part.badge)}</span>' if part.badge else ""
    heading = f"<h1>{escape(part.heading or part.title)}{badge}</h1>"
    return (
        f'<div class="part" id="part-{at}"{panel}><header>{heading}{intro}</header>'
        f'<div class="sections">{sections}</div></div>'
    )


def _paired(sections: Sequence[Section]) -> list[Section]:
    """Return the sections with those of half width that have no partner beside them made whole."""
    found: list[Section] = []
    waiting = False
    for each in sections:
        if waiting and not each.half:
            found[-1] = replace(found[-1], half=False)
        waiting = each.half and not waiting
        found.append(each)
    if waiting:
        found[-1] = replace(found[-1], half=False)
    return found


def _figures(part: Part, at: int) -> Iterator[tuple[str, Figure]]:
    for place, section in enumerate(part.sections):
        yield from section.figures(f"part{at}-{place}")


def _json(data: Any) -> str:
    """Write JSON that cannot end its script element, whatever the strings in it say."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


@cache
def _plotly() -> tuple[str, str, str]:
    """Return plotly.js: its version, its text compressed (gzip, base64), and the SHA-256 of the text.

    The installed package ships the full bundle alone, 4.8 MB; compressed it is 1.9 MB in the page.
    """
    text = (files("plotly") / "package_data" / "plotly.min.js").read_bytes()
    version = text[:200].decode().split("plotly.js v", 1)[1].split(None, 1)[0]
    return version, base64.b64encode(gzip.compress(text, 6, mtime=0)).decode(), _hash(text)


@cache
def _asset(name: str) -> str:
    return (files("infra.report") / name).read_text()


def _hash(text: bytes) -> str:
    return base64.b64encode(hashlib.sha256(text).digest()).decode()
