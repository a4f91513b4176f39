"""Colours of every picture and page: one palette for matplotlib, the report and the dashboard."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Theme:
    """Colours in light or dark; lines are after Okabe and Ito's, moved until the colour-blind tell all apart at 4.5:1.

    ``kinds`` has the colour of each role, ``series`` those of lines without one, in order; ``ramp`` is a colour map
    whose lightness rises all the way; ``page`` has what pages alone need.
    """

    name: str
    background: str
    text: str
    grid: str
    band: str
    kinds: Mapping[str, str]
    series: tuple[str, ...]
    page: Mapping[str, str]
    ramp: str = "cividis"


LIGHT = Theme(
    "light",
    background="#ffffff",
    text="#1f2328",
    grid="#d8dee4",
    band="#eef1f4",
    kinds={
        "best": "#0072B2",
        "base": "#B84F00",
        "baseline": "#0B6546",
        "benchmark": "#57606a",
        "second": "#9E358B",
        "third": "#4B841B",
    },
    series=("#0072B2", "#B84F00", "#0B6546", "#9E358B", "#4B841B", "#4B4BB0", "#9D251C", "#57606a"),
    page={
        "card": "#f6f8fa",
        "dim": "#57606a",
        "field": "#8c959f",
        "bad": "#9D251C",
        "good": "#0B6546",
        "soft": "#eaf3fb",
    },
)
DARK = Theme(
    "dark",
    background="#0d1117",
    text="#e6edf3",
    grid="#30363d",
    band="#1a212b",
    kinds={
        "best": "#56B4E9",
        "base": "#E69F00",
        "baseline": "#35F6A3",
        "benchmark": "#9aa4af",
        "second": "#B959AC",
        "third": "#FFF149",
    },
    series=("#56B4E9", "#E69F00", "#35F6A3", "#B959AC", "#FFF149", "#B086FC", "#FF7E61", "#9aa4af"),
    page={
        "card": "#161b22",
        "dim": "#9aa4af",
        "field": "#6e7681",
        "bad": "#FF7E61",
        "good": "#35F6A3",
        "soft": "#17324a",
    },
)
THEMES = (LIGHT, DARK)


def theme_css() -> str:
    """The palette as CSS variables: dark where the reader's system is, unless ``data-theme`` on the root says else."""
    light, dark = (_variables(theme) for theme in THEMES)
    return (
        f":root {{ color-scheme: light; {light} }}\n"
        f':root[data-theme="dark"] {{ color-scheme: dark; {dark} }}\n'
        f"@media (prefers-color-scheme: dark) {{\n"
        f'  :root:not([data-theme="light"]) {{ color-scheme: dark; {dark} }}\n}}\n'
    )


def _variables(theme: Theme) -> str:
    named = {"ground": theme.background, "text": theme.text, "line": theme.grid, "band": theme.band, **theme.page}
    named |= dict(theme.kinds) | {f"s{place}": color for place, color in enumerate(theme.series)}
    return " ".join(f"--{name}: {color};" for name, color in named.items())
