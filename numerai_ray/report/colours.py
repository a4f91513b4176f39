"""Colours of every picture and page: one palette for matplotlib, the report and the dashboard."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Theme:
    """Colours in light or dark; lines are after Okabe and Ito's, told apart by the colour-blind, 4.5:1 on the ground.

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
        "baseline": "#007A59",
        "benchmark": "#57606a",
        "second": "#A3337F",
        "third": "#7A5F00",
    },
    series=("#0072B2", "#B84F00", "#007A59", "#A3337F", "#7A5F00", "#4B4BB0", "#B22222", "#57606a"),
    page={
        "card": "#f6f8fa",
        "dim": "#57606a",
        "field": "#8c959f",
        "bad": "#B22222",
        "good": "#007A59",
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
        "baseline": "#2CC295",
        "benchmark": "#9aa4af",
        "second": "#EE8FCB",
        "third": "#F0E442",
    },
    series=("#56B4E9", "#E69F00", "#2CC295", "#EE8FCB", "#F0E442", "#A5A5FF", "#FF8A75", "#9aa4af"),
    page={
        "card": "#161b22",
        "dim": "#9aa4af",
        "field": "#6e7681",
        "bad": "#FF8A75",
        "good": "#2CC295",
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
