"""Results as one self-contained HTML file each, and their main chart as a picture.

A page is a list of sections of blocks: `page(title, sections)`. `report(title, studies)` is the page of a strategy's
runs, `sandbox_report(result)` that of a sandbox result.
"""

from infra.report.content import Cell, Code, Fact, Facts, Figure, Part, Section, Table, Text
from infra.report.page import page, policy
from infra.report.sandbox import sandbox_report
from infra.report.strategy import part, report

__all__ = [
    "Cell",
    "Code",
    "Fact",
    "Facts",
    "Figure",
    "Part",
    "Section",
    "Table",
    "Text",
    "page",
    "part",
    "policy",
    "report",
    "sandbox_report",
]
