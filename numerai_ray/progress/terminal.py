"""What reaches the terminal: text of files, arguments and servers is made harmless here, and nowhere else.

A name may hold escape sequences that move the cursor, change the title or answer for the user. They are shown
as they are written in Python, never sent; colours are rich's own.
"""

import codecs
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import rich.console
from rich.segment import Segment

from numerai_ray.errors import RequestError, shortened

# Controls but for the end of a line and the tab, what turns the direction of text around, halves of no character.
# DEL does nothing on a terminal, and JSON has it as it is.
_HARMFUL = re.compile(r"[\x00-\x08\x0b-\x1f\x80-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# What fits into a path; a plan has room for longer values.
MOST_ARGUMENT = 4096


def harmless(text: str) -> str:
    """``text`` with controls and escape sequences as they are written in Python."""
    return _HARMFUL.sub(lambda found: found[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


def say(text: object = "", *, err: bool = False, end: str = "\n") -> None:
    """Print text, at once."""
    # click's own would write UTF-8 to a stream that says it is ASCII.
    print(harmless(str(text)), file=sys.stderr if err else sys.stdout, end=end, flush=True)


class Console(rich.console.Console):
    """Rich's, for text that somebody else wrote: no markup in it, and nothing but its own controls."""

    def __init__(self, **settings: Any):
        super().__init__(**{"markup": False, "emoji": False, **settings})

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for part in super().render(renderable, options):
            yield part if part.control else Segment(harmless(part.text), part.style)


def tell_code(*sources: str) -> None:
    """Say on stderr, before it is read, what of a request is a program."""
    for each in dict.fromkeys(sources):
        say(f"note: {each}: is code, and runs with your rights; run only what you trust", err=True)


def checked_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments of a command; what they hold is shown by the parser's own messages.

    Raises:
        RequestError: one holds control characters, or bytes that are no text, or is longer than a path may be.

    """
    for position, each in enumerate(arguments, start=1):
        if len(each) > MOST_ARGUMENT:
            rule = f"must be at most {MOST_ARGUMENT:,} characters, but is {len(each):,}"
            raise RequestError(f"argument {position} ({each[:40]}…): {rule}; write long values into a plan")
        if harmless(each) != each:
            rule = "must hold no control characters, and no bytes that are not text"
            raise RequestError(f"argument {position} ({shortened(harmless(each))}): {rule}; check what was pasted")
    return list(arguments)


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
