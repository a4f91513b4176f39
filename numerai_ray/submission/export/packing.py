"""From a recipe to a pickle, made by the Python of Numerai's container, and the names of all files of a submission."""

import pickle
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numerai_ray.errors import EnvironmentFault, RequestError
from numerai_ray.submission.container.containers import INSIDE
from numerai_ray.submission.container.environment import Environment, Limits, run_inside
from numerai_ray.submission.export.exporters import exporter_for

_PACK_LIMITS = Limits(seconds=600.0, memory_bytes=16 * 10**9)


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that a pickle holds; ``part`` is an expression as described in ``inside/frame.py``."""

    features: tuple[str, ...]
    benchmarks: tuple[str, ...]
    part: Mapping[str, Any]

    def types(self) -> tuple[str, ...]:
        """Types of the models in it, sorted."""
        return tuple(sorted({model["type"] for model in models_of(self.part)}))

    def libraries(self) -> tuple[str, ...]:
        """Libraries that the container must have for it, sorted."""
        return tuple(sorted({name for kind in self.types() for name in exporter_for(kind).libraries}))

    def plain(self) -> dict[str, Any]:
        return {"features": list(self.features), "benchmarks": list(self.benchmarks), "recipe": self.part}


def models_of(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Every model in an expression."""
    if part["do"] == "model":
        return [part]
    inner = part.get("parts") or ([part["part"]] if "part" in part else [])
    return [model for each in inner for model in models_of(each)]


def pickle_path(out: Path) -> Path:
    """``out`` if it can be the name of a pickle; Numerai takes names that end with .pkl alone."""
    if out.suffix != ".pkl":
        raise RequestError(f"--out: must end with .pkl, as Numerai asks, but is {out}; give another name")
    if out.is_dir():
        raise RequestError(f"--out: must be a file, but {out} is a folder; give another name")
    return out


def pack(recipe: Recipe, environment: Environment, out: Path) -> None:
    """Write the pickle; what goes in is text, numbers, lists and mappings, and functions by value.

    Raises:
        EnvironmentFault: the container's Python cannot do it; says why.

    """
    with tempfile.TemporaryDirectory(prefix="numerai-ray-") as name:
        folder = Path(name)
        (folder / "recipe").write_bytes(pickle.dumps(recipe.plain(), protocol=5))
        sources = [INSIDE / "frame.py", *dict.fromkeys(exporter_for(kind).source for kind in recipe.types())]
        for source in (INSIDE / "pack.py", *sources):
            (folder / source.name).write_bytes(source.read_bytes())
        arguments = ["pack.py", "recipe", "model.pkl", *(source.name for source in sources)]
        ran = run_inside(environment, [str(folder / arguments[0]), *arguments[1:]], folder, _PACK_LIMITS)
        made = folder / "model.pkl"
        if ran.code or ran.over or not made.exists():
            why = ran.over or ran.output.strip().rsplit("\n", 1)[-1] or f"exit code {ran.code}"
            raise EnvironmentFault(f"{environment.root}: cannot make the pickle ({why}); remove this folder, run again")
        out.write_bytes(made.read_bytes())


def needed(kinds: Sequence[str]) -> tuple[str, ...]:
    """Libraries that models of these types need in the container."""
    return tuple(sorted({name for kind in kinds for name in exporter_for(kind).libraries}))
