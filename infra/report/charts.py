"""Building blocks of plotly figures, in the page's palette: "@blue" is the page's blue, in light and in dark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from schemas.columns import Float64

Spec = dict[str, Any]
COLOURS = ("@blue", "@orange", "@green", "@purple", "@sky", "@red", "@olive", "@grey")
"""Okabe and Ito's, darkened on light and lightened on dark: told apart with any colour vision."""
DASHES = ("solid", "dash", "dot", "dashdot")


def numbers(values: Float64 | Sequence[float], digits: int = 6) -> list[float | None]:
    """Return values with so many significant digits; None where undefined, which leaves a gap."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in np.asarray(values, dtype=float)]


def line(x: Sequence[Any], y: Sequence[float | None], name: str, color: str, **more: Any) -> Spec:
    """Return a curve; more may hold width, dash and shape ("hv": steps), and plotly's own keys."""
    style = {"color": color, "width": more.pop("width", 2), "dash": more.pop("dash", "solid")}
    style["shape"] = more.pop("shape", "linear")
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "name": plain(name), "line": style, **more}


def bars(x: Sequence[Any], y: Sequence[float | None], name: str, color: str, **more: Any) -> Spec:
    """Return bars."""
    return {"type": "bar", "x": list(x), "y": list(y), "name": plain(name), "marker": {"color": color}, **more}


def axis(**more: Any) -> Spec:
    """Return an axis with quiet lines."""
    return {
        "gridcolor": "@grid",
        "linecolor": "@line",
        "zerolinecolor": "@line",
        "tickcolor": "@line",
        "automargin": True,
        "fixedrange": False,
        **more,
    }


def layout(**more: Any) -> Spec:
    """Return a layout with transparent ground, the legend above, and one hover label for all curves."""
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 12, "t": 30, "b": 8},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": "@surface", "bordercolor": "@line"},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        "xaxis": axis(showgrid=False),
        "yaxis": axis(),
        **more,
    }


def figure(data: Sequence[Spec], shape: Spec) -> Spec:
    """Return a figure."""
    return {"data": list(data), "layout": shape}


def plain(text: str) -> str:
    """Return text that plotly shows as it is: it reads a few HTML tags and entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
