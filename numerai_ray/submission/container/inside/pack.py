"""Makes a pickle, by the Python that will load it: a function holds bytecode, which belongs to one Python version.

Called as ``python pack.py RECIPE OUT SOURCE…``: the recipe is a pickle of plain values, each source a file whose
functions go into the pickle by value. Every source but the first defines a predictor named as the file, and
may define ``fit_NAME`` for what is trained here.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any


def pack(recipe_file: Path, out: Path, sources: list[Path]) -> None:
    """Write ``predict`` of the recipe to ``out``."""
    import cloudpickle

    # A module that cannot be imported: cloudpickle then carries its functions by value.
    namespace: dict[str, Any] = {"__name__": "submitted_model"}
    for source in sources:
        exec(compile(source.read_text(encoding="utf-8"), source.name, "exec"), namespace)
    recipe = pickle.loads(recipe_file.read_bytes())
    train(recipe["recipe"], namespace)
    predictors = {source.stem: namespace[source.stem] for source in sources[1:]}
    out.write_bytes(cloudpickle.dumps(namespace["build"](recipe, predictors)))


def train(part: dict[str, Any], namespace: dict[str, Any]) -> None:
    """Train what only this Python's libraries can: models whose source has a function ``fit_NAME``."""
    for each in (*part.get("parts", ()), *([part["part"]] if "part" in part else [])):
        train(each, namespace)
    fit = namespace.get(f"fit_{part.get('inside')}")
    if fit is not None:
        part["payload"] = fit(part["payload"])


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]), [Path(each) for each in sys.argv[3:]])
