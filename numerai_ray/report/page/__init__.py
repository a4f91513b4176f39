"""Page: the parts that ``report.html`` and the dashboard are made of: style, charts, tables; plain JavaScript.

The dashboard serves them as modules; ``report.html`` holds them as one script, which its policy names by its hash.
A module imports on lines of their own, by names in braces, from modules that stand before it in :data:`MODULES`.
"""

import base64
import hashlib
import re
from functools import cache
from importlib import resources

from numerai_ray.report.colours import theme_css

__all__ = ["MODULES", "SHARED", "script", "script_hash", "shared_file", "style", "template"]

# What the report's script is made of, in the order of their imports; the last one begins.
MODULES = ("dom", "charts", "curves", "rounds", "sweeps", "figures", "leaderboard", "report")
# What the dashboard serves beside its own files.
SHARED = (*(f"{name}.js" for name in MODULES[:-1]), "answer.js", "parts.css", "colours.css")
_HERE = resources.files("numerai_ray.report") / "page"
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([a-z]+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|function|async function) (\w+))", re.MULTILINE)


def shared_file(name: str) -> bytes:
    """One of :data:`SHARED`, as it is served."""
    return theme_css().encode() if name == "colours.css" else (_HERE / name).read_bytes()


def style() -> str:
    """The report's style sheet: palette, shared parts, its own layout."""
    return theme_css() + _read("parts.css") + _read("report.css")


@cache
def script() -> str:
    """The report's script: every module a function of its own, so that their names do not meet."""
    parts = ['"use strict";']
    for name in MODULES:
        text = _read(f"{name}.js")
        exported = ", ".join(_EXPORT.findall(text))
        body = _EXPORT.sub("", _IMPORT.sub(r"const \1 = \2_module;", text))
        parts.append(f"const {name}_module = (() => {{\n{body}return {{ {exported} }};\n}})();")
    return "\n".join(parts) + "\n"


def script_hash() -> str:
    """How a policy names the report's script: ``'sha256-…'``."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()}'"


def template() -> str:
    """The frame of a report's page."""
    return _read("report.html.j2")


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
