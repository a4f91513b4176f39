"""Arguments that several commands share, and the places they lead to."""

import os
from pathlib import Path
from typing import Annotated

import typer

from numerai_ray.atomic_files import write_text
from numerai_ray.config import nearest
from numerai_ray.errors import RequestError
from numerai_ray.experiment_plan import LoadedPlan, load_plan
from numerai_ray.results import ExperimentPaths
from numerai_ray.shipped_files import find_shipped, shipped_experiments, shipped_plan

DATA_ROOT_VARIABLE = "NUMERAI_RAY_DATA"

ExperimentArgument = Annotated[
    Path, typer.Argument(metavar="EXP", help="Folder of an experiment, e.g. experiments/quickstart.")
]
DataDirOption = Annotated[
    Path | None,
    typer.Option("--data-dir", metavar="DIR", help=f"Data root; else ${DATA_ROOT_VARIABLE}, else ./data."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
InProcessOption = Annotated[
    bool, typer.Option("--in-process", help="No Ray: one fit at a time in this process, for debugging.")
]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="A running Ray cluster ('auto' on its head); else one starts here.")
]


def data_root(given: Path | None) -> Path:
    """``--data-dir``, else the environment, else ``./data``."""
    return given or Path(os.environ.get(DATA_ROOT_VARIABLE) or "data")


def experiment_paths(folder: Path) -> ExperimentPaths:
    """Paths of an experiment that exists.

    Raises:
        RequestError: there is no plan in the folder; names the nearest experiment.

    """
    paths = ExperimentPaths(folder)
    if not paths.plan.is_file():
        beside = [plan.parent.name for plan in folder.parent.glob("*/experiment.yaml")]
        known = sorted({*beside, *shipped_experiments()})
        raise RequestError(f"{folder}: no experiment.yaml there{nearest(folder.name, known)}")
    return paths


def open_experiment(folder: Path) -> tuple[ExperimentPaths, LoadedPlan]:
    """An experiment and its checked plan; one that comes with the package is put in place on first use."""
    shipped = shipped_plan(folder.name)
    if not folder.exists() and shipped is not None:
        write_text(ExperimentPaths(folder).plan, shipped.read_text(encoding="utf-8"))
    paths = experiment_paths(folder)
    return paths, load_plan(paths.plan, lambda kind, name: find_shipped(kind, name, folder))
