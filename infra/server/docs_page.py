"""The OpenAPI document as a page for people: no script, no network."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any


def docs_page(document: Mapping[str, Any]) -> str:
    """Return the routes of an OpenAPI document as HTML."""
    info = document["info"]
    rows = "".join(
        _row(method, path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    head = "".join(f"<th>{name}</th>" for name in ("Method", "Path", "What it does", "Parameters", "Answers"))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        '<meta name="viewport" content="width=device-width"></head><body>'
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])} "
        '<a href="/openapi.json">openapi.json</a> has every field, with examples.</p>'
        f'<table border="1" cellpadding="6"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></body></html>'
    )


def _row(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parameters = ", ".join(f"{each['name']} ({each['in']})" for each in operation.get("parameters", ()))
    cells = (
        method.upper(),
        path,
        operation.get("description", ""),
        parameters,
        ", ".join(operation["responses"]),
    )
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
