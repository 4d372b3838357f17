"""The report of a strategy's run."""

from __future__ import annotations

from collections.abc import Sequence

from infra.report.content import Part
from infra.report.costs import costs
from infra.report.growth import growth
from infra.report.headline import intro, kind
from infra.report.holdings import holdings
from infra.report.outcomes import outcomes
from infra.report.page import page
from infra.report.provenance import provenance
from infra.report.trades import trades
from orchestrator.study import Study


def report(title: str, studies: Sequence[Study]) -> str:
    """Return a page with a part for each study."""
    return page(title, [part(study) for study in studies])


def part(study: Study) -> Part:
    """Return all that is shown of one run."""
    sections = [
        growth(study),
        *outcomes(study),
        *holdings(study),
        costs(study),
        *trades(study),
        *provenance(study.manifest, study.command),
    ]
    return Part(study.title, sections, intro(study), study.heading, f"{kind(study)} DATA", study.chains)
