"""Print the pins of ``cluster/requirements.txt``: every run-time dependency at the version installed here."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

HEAD = """# What the image holds, to the version: numerai-ray's dependencies with all of theirs. Made by
#   python cluster/pins.py > cluster/requirements.txt"""
PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def pins() -> dict[str, str]:
    """Version by name, of the project's dependencies and of what they depend on."""
    found: dict[str, str] = {}
    done: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(text) for text in tomllib.loads(PROJECT.read_text())["project"]["dependencies"]]
    while waiting:
        wanted = waiting.pop()
        name, extras = re.sub(r"[-_.]+", "-", wanted.name).lower(), frozenset(wanted.extras)
        if (name, extras) in done:
            continue
        done.add((name, extras))
        try:
            there = distribution(wanted.name)
        except PackageNotFoundError:
            continue
        found[name] = there.version.split("+")[0]
        for text in there.requires or ():
            each = Requirement(text)
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                waiting.append(each)
    return found


if __name__ == "__main__":
    print(HEAD)
    for name, version in sorted(pins().items()):
        print(f"{name}{'[default,tune]' if name == 'ray' else ''}=={version}")
