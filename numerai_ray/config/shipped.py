"""Where baselines, search spaces and shipped experiments are found: beside the experiment, in a clone, in the wheel."""

from collections.abc import Sequence
from pathlib import Path

from numerai_ray.errors import ConfigError, Problem, nearest

PACKAGE = Path(__file__).resolve().parent.parent
# kind -> folder below a root
FOLDERS = {"baselines": "experiments/baselines", "search_spaces": "search_spaces", "experiments": "experiments"}


def roots(near: Path | None = None) -> tuple[Path, ...]:
    """Folders that may hold ``experiments/`` and ``search_spaces/``; nearest first.

    Args:
        near: an experiment's folder, by convention ``<root>/experiments/<name>``.

    """
    own = [near.resolve().parent.parent] if near is not None else []
    return tuple(dict.fromkeys([*own, Path.cwd(), PACKAGE.parent, PACKAGE / "shipped"]))


def find_shipped(kind: str, name: str, near: Path | None = None) -> Path:
    """File of a baseline or search space by name.

    Raises:
        ConfigError: there is none; names the nearest and the known ones.

    """
    folders = [root / FOLDERS[kind] for root in roots(near)]
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    known = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
    key = {"baselines": "baseline", "search_spaces": "search_space"}[kind]
    rule = f"no {key} named {name!r}{nearest(name, known)}"
    raise ConfigError(str(near / "experiment.yaml" if near else Path.cwd()), [Problem(f"$.{key}", rule)])


def shipped_plan(name: str) -> Path | None:
    """``experiment.yaml`` of an experiment that comes with the package, or None."""
    for root in roots():
        plan = root / FOLDERS["experiments"] / name / "experiment.yaml"
        if plan.is_file():
            return plan
    return None


def shipped_experiments() -> Sequence[str]:
    """Names of the experiments that come with the package."""
    plans = (plan for root in roots() for plan in (root / FOLDERS["experiments"]).glob("*/experiment.yaml"))
    return sorted({plan.parent.name for plan in plans})
