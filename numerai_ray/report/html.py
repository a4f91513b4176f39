"""``report.html``: the paper of ``experiment.md`` as one file that needs nothing else, for a desk and for a phone.

Text is in it as it is; figures and the whole leaderboard are drawn by the script of :mod:`numerai_ray.report.page` from
values that lie beside it. Where no script runs, a figure is a link to its picture and the leaderboard its best rows.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from numerai_ray.report.markdown import APPENDIX, Picture, markdown_picture, report_text
from numerai_ray.report.page import script, script_hash, style, template
from numerai_ray.report.page_data import leaderboard_data
from numerai_ray.report.reading import Reading

# A line of its own in the Markdown, which becomes a picture after everything else was escaped.
_PLACE = "figure-of-the-report:{}"
# Tables of as many columns do not fit a phone.
CARD_COLUMNS = 5


@dataclass(frozen=True)
class Data:
    """What the page's script draws, as plain values: figures by the name of their plot, rows of the leaderboard."""

    figures: Mapping[str, Any] = field(default_factory=dict)
    leaderboard: Mapping[str, Any] | None = None

    def as_json(self) -> str:
        """JSON that no value in it can end the element of."""
        text = json.dumps({"figures": self.figures, "leaderboard": self.leaderboard}, separators=(",", ":"))
        return text.replace("<", "\\u003c")


def markdown_and_page(
    reading: Reading, captions: Mapping[str, str], figures: Mapping[str, Any] | None = None
) -> tuple[str, str]:
    """``experiment.md`` and ``report.html``.

    Args:
        reading: the experiment.
        captions: the plots that were drawn: name -> caption.
        figures: those that the page draws itself, name -> plain values; of the others it holds the pictures.

    """
    return with_pictures(
        lambda picture: report_text(reading, captions, picture),
        reading.loaded.name,
        reading.paths.plot,
        Data(figures or {}, leaderboard_data(reading)),
    )


def with_pictures(
    make_text: Callable[[Picture], str], name: str, plot: Callable[[str], Path], data: Data | None = None
) -> tuple[str, str]:
    """A report as Markdown that links its pictures, and as a page that holds them, or draws them itself.

    Args:
        make_text: the Markdown, made with what shows a picture (name, title, caption) in it.
        name: the page's title.
        plot: the file of a plot, by its name and theme (``cumulative-light``).
        data: what the page draws itself.

    """
    pictures: dict[str, tuple[str, str]] = {}
    data = data or Data()

    def picture(name: str, title: str, caption: str) -> list[str]:
        pictures[name] = title, caption
        return [_PLACE.format(name)]

    text = make_text(picture)
    # The leaderboard has the appendix's columns.
    body = _to_html(text if data.leaderboard is None else text.rpartition(f"\n{APPENDIX}\n")[0])
    for each, (title, caption) in pictures.items():
        text = text.replace(_PLACE.format(each), "\n\n".join(markdown_picture(each, title, caption)), 1)
        shown = _drawn(plot, each, title) if each in data.figures else _held(plot, each, title)
        said = f"<figcaption><b>{escape(title)}.</b> {escape(caption)}</figcaption>"
        figure = f'<figure id="plot-{each}">{shown}{said}</figure>'
        body = body.replace(f"<p>{_PLACE.format(each)}</p>", figure)
    return text, _page(name, body, data)


def _page(title: str, body: str, data: Data) -> str:
    title_line, body = body.split("</h1>", 1) if "</h1>" in body else ("", body)
    if data.leaderboard is not None:
        body = _with_leaderboard(body)
    body, contents = _with_anchors(body)
    body = _labelled(_folded(body))
    body = body.replace("<table", '<div class="wide" tabindex="0"><table').replace("</table>", "</table></div>")
    values = {"title": title, "heading": f"{title_line}</h1>", "body": body, "contents": contents}
    page = {"style": style(), "script": script(), "script_hash": script_hash(), "data": data.as_json()}
    return str(_template().render(**values, **page))


def _to_html(text: str) -> str:
    # What a user wrote is text: raw HTML in it is shown, not obeyed.
    from markdown_it import MarkdownIt  # noqa: PLC0415

    # A picture in it would be fetched by every reader: its address is a link.
    body = str(MarkdownIt("commonmark", {"html": False}).enable("table").disable("image").render(text))
    # A browser breaks a line after the sign of an exponent; what is inside a tag is left as it is.
    parts = re.split(r"(<[^>]*>)", body)
    parts[::2] = [re.sub(r"[+-]?\d+(?:\.\d+)?e-\d+", r'<span class="number">\g<0></span>', part) for part in parts[::2]]
    return "".join(parts)


def _drawn(plot: Callable[[str], Path], name: str, title: str) -> str:
    """A place that the script draws into; the picture's file where it does not run."""
    file = plot(f"{name}-light")
    picture = f'<a href="{escape(file.parent.name)}/{escape(file.name)}">{escape(title)}</a>'
    return f'<div data-figure="{name}"><p class="dim">As a picture: {picture}</p></div>'


def _held(plot: Callable[[str], Path], name: str, title: str) -> str:
    light, dark = (_data_uri(plot(f"{name}-{theme}").read_bytes()) for theme in ("light", "dark"))
    return (
        f'<div class="picture"><img class="light" alt="{escape(title)}" src="{light}">'
        f'<img class="dark" alt="{escape(title)}" src="{dark}"></div>'
    )


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _with_leaderboard(body: str) -> str:
    """The leaderboard where the script finds it."""
    found = r"(<h2>Leaderboard</h2>\n)(<table>.*?</table>(?:\n<p>.*?</p>)?)"
    return re.sub(found, r'\1<div id="leaderboard">\2</div>', body, count=1, flags=re.DOTALL)


def _labelled(body: str) -> str:
    """``body`` whose widest tables name the column in each cell: on a phone a row is a card.

    The answer's table stands before the first chapter, with a layout of its own.
    """
    head, chapters = body.split("<h2", 1) if "<h2" in body else (body, "")

    def table(found: re.Match[str], kind: str) -> str:
        names = re.findall(r"<th[^>]*>(.*?)</th>", found[0])
        if len(names) < CARD_COLUMNS:
            return found[0]

        def row(cells: re.Match[str]) -> str:
            labels = iter(names)
            return re.sub("<td", lambda _: f'<td data-label="{next(labels, "")}"', cells[0])

        return re.sub(r"<tr>.*?</tr>", row, found[0], flags=re.DOTALL).replace("<table>", f'<table class="{kind}">')

    def labelled(part: str, kind: str) -> str:
        return re.sub(r"<table>.*?</table>", lambda found: table(found, kind), part, flags=re.DOTALL)

    made = [labelled(head, "answer"), labelled(chapters, "card")]
    return "<h2".join(made) if chapters else made[0]


def _with_anchors(body: str) -> tuple[str, list[tuple[int, str, str]]]:
    """``body`` with a name on every heading, and the list of (level, name, title)."""
    contents: list[tuple[int, str, str]] = []

    def name(match: re.Match[str]) -> str:
        level, title = int(match[1]), match[2]
        anchor = f"s{len(contents) + 1}"
        contents.append((level, anchor, re.sub(r"<[^>]*>", "", title)))
        return f'<h{level} id="{anchor}">{title}</h{level}>'

    return re.sub(r"<h([23])>(.*?)</h\1>", name, body), contents


# Chapters that explain or list: a reader who wants them opens them.
FOLDED = ("Plan", "Data and folds", "Method", "Diagnostics", "Estimate against fact", "Reproduction")


def _folded(body: str) -> str:
    """``body`` whose rounds are one line each that unfolds, with their decision in it, and whose long chapters fold."""
    parts = re.split(r"(?=<h[23] id=)", body)
    found = [parts[0]]
    closing = ""
    for part in parts[1:]:
        heading, _, rest = part.partition("\n")
        level, title = heading[2], re.sub(r"<[^>]*>", "", heading)
        if level == "2":
            found.append(closing)
            closing = ""
        if level == "3" and title.startswith("Round "):
            decided = re.search(r"<strong>Decision:</strong> (.*?)</p>", rest, re.DOTALL)
            line = f'<span class="decided">{decided[1]}</span>' if decided else ""
            found.append(f'<details class="round"><summary>{heading}{line}</summary>\n{rest}</details>\n')
        elif level == "2" and title in FOLDED:
            found.append(f"<details><summary>{heading}</summary>\n{rest}")
            closing = "</details>\n"
        else:
            found.append(part)
    return "".join([*found, closing])


@cache
def _template() -> Any:
    from jinja2 import Environment  # noqa: PLC0415

    # The title is escaped; body and contents were made of escaped text above, the rest is the program's own.
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(template())
