"""Output that is not UTF-8: what cannot be said in it is said in plainer characters, and nothing raises."""

import codecs
import sys

# What tables, ranges and formulas of ours are written with; anything else becomes a question mark.
PLAINER = {
    "–": "-", "—": "-", "−": "-", "‑": "-", "…": "...", "·": "-", "•": "*", "×": "x", "→": "->", "←": "<-", "↑": "^",
    "↓": "v", "≥": ">=", "≤": "<=", "≈": "~", "±": "+-", "Δ": "delta ", "ρ": "rho", "σ": "sigma", "µ": "u", "“": '"',
    "”": '"', "‘": "'", "’": "'", "✓": "ok", "✗": "x", "★": "*",
}  # fmt: skip
_NAME = "numerai-ray.plainer"


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAINER.get(each, "?") for each in error.object[error.start : error.end]), error.end


def never_raise() -> None:
    """Have stdout and stderr take every text, whatever their encoding."""
    codecs.register_error(_NAME, _plainer)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a test or a notebook may have put something else there
            reconfigure(errors=_NAME)
