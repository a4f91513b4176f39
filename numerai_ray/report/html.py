"""``report.html``: the paper of ``experiment.md`` as one file that needs nothing else, for a desk and for a phone."""

import base64
import re
from collections.abc import Callable, Mapping
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from numerai_ray.report.markdown import Picture, markdown_picture, report_text
from numerai_ray.report.reading import Reading

# A line of its own in the Markdown, which becomes a picture after everything else was escaped.
_PLACE = "figure-of-the-report:{}"


def markdown_and_page(reading: Reading, captions: Mapping[str, str]) -> tuple[str, str]:
    """``experiment.md`` and ``report.html``; ``captions`` has the plots that were drawn: name -> caption."""
    return with_pictures(
        lambda picture: report_text(reading, captions, picture), reading.loaded.name, reading.paths.plot
    )


def with_pictures(make_text: Callable[[Picture], str], name: str, plot: Callable[[str], Path]) -> tuple[str, str]:
    """A report as Markdown that links its pictures, and as a page that holds them.

    Args:
        make_text: the Markdown, made with what shows a picture (name, title, caption) in it.
        name: the page's title.
        plot: the file of a plot, by its name and theme (``cumulative-light``).

    """
    pictures: dict[str, tuple[str, str]] = {}

    def picture(name: str, title: str, caption: str) -> list[str]:
        pictures[name] = title, caption
        return [_PLACE.format(name)]

    text = make_text(picture)
    body = _to_html(text)
    for each, (title, caption) in pictures.items():
        text = text.replace(_PLACE.format(each), "\n\n".join(markdown_picture(each, title, caption)), 1)
        body = body.replace(f"<p>{_PLACE.format(each)}</p>", _figure(plot, each, title, caption))
    return text, _page(name, body)


def _page(title: str, body: str) -> str:
    title_line, body = body.split("</h1>", 1) if "</h1>" in body else ("", body)
    body, contents = _with_anchors(body)
    body = _folded(body)
    body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    return str(_template().render(title=title, heading=f"{title_line}</h1>", body=body, contents=contents))


def _to_html(text: str) -> str:
    # What a user wrote is text: raw HTML in it is shown, not obeyed.
    from markdown_it import MarkdownIt  # noqa: PLC0415

    # A picture in it would be fetched by every reader: its address is a link.
    body = str(MarkdownIt("commonmark", {"html": False}).enable("table").disable("image").render(text))
    # A browser breaks a line after the sign of an exponent; what is inside a tag is left as it is.
    parts = re.split(r"(<[^>]*>)", body)
    parts[::2] = [re.sub(r"[+-]?\d+(?:\.\d+)?e-\d+", r'<span class="number">\g<0></span>', part) for part in parts[::2]]
    return "".join(parts)


def _figure(plot: Callable[[str], Path], name: str, title: str, caption: str) -> str:
    light, dark = (_data_uri(plot(f"{name}-{theme}").read_bytes()) for theme in ("light", "dark"))
    return (
        f'<figure id="plot-{name}"><div><img class="light" alt="{escape(title)}" src="{light}">'
        f'<img class="dark" alt="{escape(title)}" src="{dark}"></div>'
        f"<figcaption><b>{escape(title)}.</b> {escape(caption)}</figcaption></figure>"
    )


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


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
FOLDED = ("Plan", "Data and folds", "Method", "Diagnostics", "Reproduction", "Appendix: further figures")


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

    text = (resources.files("numerai_ray.report") / "templates" / "report.html.j2").read_text(encoding="utf-8")
    # The title is escaped; body and contents were made of escaped text above.
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
