"""Data versions: which of several is the newest, and the benchmark that one brings; none is known by name here."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numerai_ray.config.validation import Json, apply_overrides, value_at

# How the benchmark that scores are taken against ends, in every version.
_OWN = "ender20"


def version_number(name: str) -> tuple[int, ...]:
    """``(5, 3)`` for ``v5.3``, by which versions are in order; empty for a name that is none."""
    return tuple(map(int, name[1:].split("."))) if re.fullmatch(r"v\d+(\.\d+)*", name) else ()


def newest(names: Iterable[str]) -> str | None:
    """The version with the highest number; of names without any, the only one, and None of several."""
    listed = sorted(set(names))
    numbered = [name for name in listed if version_number(name)]
    if numbered:
        return max(numbered, key=version_number)
    return listed[0] if len(listed) == 1 else None


def benchmark_named(version: str) -> str | None:
    """What a version's own benchmark is called, by its name: ``v53_lgbm_ender20`` for ``v5.3``."""
    number = version_number(version)
    return f"v{''.join(map(str, number))}_lgbm_{_OWN}" if number else None


def benchmark_in(version: str, columns: Sequence[str]) -> str | None:
    """A version's own benchmark among the columns of its benchmark file: its ``…ender20``; None where it has none."""
    there = [name for name in columns if name.lower().endswith(_OWN)]
    named = benchmark_named(version)
    return named if named in there else next(iter(there), None)


def no_version() -> None:
    """Where nobody knows a version: what a config says by itself holds."""


def no_benchmark(_version: str) -> None:
    """Where nobody knows a version's benchmark: what a config says by itself holds."""


@dataclass(frozen=True)
class DataDefaults:
    """What holds where neither plan nor baseline says it: the data version, and the benchmark of a version."""

    version: Callable[[], str | None] = no_version
    benchmark: Callable[[str], str | None] = no_benchmark


UNKNOWN = DataDefaults()


def settled_data(
    values: Mapping[str, Any], defaults: DataDefaults, version: str | None = None, benchmark: str | None = None
) -> Json:
    """A baseline's plain ``values`` on a data version, and scored against the benchmark that goes with it.

    Args:
        values: as they are written: what they do not say is filled in.
        defaults: what holds then.
        version: instead of theirs; their benchmark, which is of their version, does not go with another one.
        benchmark: instead of what follows from the version.

    """
    own = value_at(values, "data.version")
    meant = version or own or defaults.version()
    if meant is None:
        return apply_overrides(values, {"score": {"benchmark": benchmark}} if benchmark else {})
    theirs = value_at(values, "score.benchmark") if own in (None, meant) else None
    found = benchmark or theirs or defaults.benchmark(meant) or benchmark_named(meant)
    return apply_overrides(values, {"data": {"version": meant}} | ({"score": {"benchmark": found}} if found else {}))
