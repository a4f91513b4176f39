"""Changes of a configuration in words, as a plan writes them."""

from collections.abc import Mapping
from typing import Any

from numerai_ray.search_space import with_changes


def changes_label(changes: Mapping[str, Any]) -> str:
    """``num_leaves=63, learning_rate=0.005``; the base for no changes."""
    if not changes:
        return "the experiment's base"
    told = laid_together(changes)
    return ", ".join(f"{path.rsplit('.', 1)[-1]}={value_text(value)}" for path, value in told.items())


def value_text(value: Any) -> str:
    """A value as a plan writes it: ``{to: small, proportion: 0.5}``."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {value_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(value_text, value)) + "]"
    return "none" if value is None else str(value)


def laid_together(changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """``changes`` by path without those that stand inside another one, which then has their values."""
    found: dict[str, Any] = {}
    for path, value in changes.items():
        above = next((each for each in found if path.startswith(f"{each}.") and isinstance(found[each], Mapping)), None)
        if above is None:
            found[path] = value
        else:
            found[above] = with_changes(found[above], {path.removeprefix(f"{above}."): value})
    return found
