"""Choices: what a new experiment can be made of, here: baselines, search spaces, data versions and what is in them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numerai_ray.config import parse_yaml, read_text
from numerai_ray.config.shipped import FOLDERS, find_shipped, roots
from numerai_ray.data.files.info import versions_in
from numerai_ray.errors import NumeraiRayError
from numerai_ray.system.json_text import read_json


@dataclass(frozen=True)
class VersionChoices:
    """What a data version offers; empty where it is not under the data root."""

    feature_sets: dict[str, int]
    targets: tuple[str, ...]


def names_of(kind: str, near: Path) -> list[str]:
    """Names of the ``baselines`` or ``search_spaces`` that an experiment in ``near`` finds."""
    return sorted({file.stem for root in roots(near) for file in (root / FOLDERS[kind]).glob("*.yaml")})


def told_of(kind: str, name: str, near: Path) -> str:
    """What a file says of itself: a search space its ``why``, a baseline its model and data; "" where it says nothing.

    A file that cannot be read says nothing here; loading the plan tells why.
    """
    try:
        file = find_shipped(kind, name, near)
        values = parse_yaml(read_text(file), str(file))
    except NumeraiRayError:
        return ""
    if kind == "search_spaces":
        return str(values.get("why") or ", ".join(values.get("dimensions") or ()))
    data, model = values.get("data") or {}, values.get("model") or {}
    shown = (model.get("type", "lightgbm"), data.get("version"), data.get("file"), data.get("target"))
    return ", ".join(str(each) for each in shown if each)


def baseline_data(name: str, near: Path) -> dict[str, Any]:
    """The ``data`` section of a baseline."""
    file = find_shipped("baselines", name, near)
    found = parse_yaml(read_text(file), str(file)).get("data")
    return found if isinstance(found, dict) else {}


def versions(root: Path) -> list[str]:
    """Data versions under a data root; none where there is no such folder."""
    return versions_in(root) if root.is_dir() else []


def version_choices(root: Path, version: str) -> VersionChoices:
    """Feature sets with their sizes, and targets, of a data version."""
    value = read_json(root / version / "features.json")
    sets, targets = value.get("feature_sets"), value.get("targets")
    sizes = {name: len(each) for name, each in sets.items()} if isinstance(sets, dict) else {}
    return VersionChoices(sizes, tuple(map(str, targets)) if isinstance(targets, list) else ())
