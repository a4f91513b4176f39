"""A finished experiment to export from, and the Pythons of Numerai's containers that this machine has."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bad_requests import Desk, make_market, set_desk

from numerai_ray.cli.main import run
from numerai_ray.config import Config, apply_overrides, validate
from numerai_ray.errors import EnvironmentFault
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.submission.container import interpreters
from numerai_ray.submission.container.containers import container_for
from numerai_ray.submission.container.trial_run import LiveData
from numerai_ray.submission.container.verify import Verification
from numerai_ray.submission.export.choice import choose
from numerai_ray.submission.export.exporting import ExportOrder, export
from numerai_ray.submission.export.refit import in_process
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.store.fits import FitStore


def python_here(version: str) -> bool:
    try:
        interpreters.find_python(version)
    except EnvironmentFault:
        return False
    return True


PYTHONS = [version for version in ("3.12", "3.13", "3.11") if python_here(version)]
needs_python = pytest.mark.skipif(not PYTHONS, reason="no Python of a container on this machine")


def finished_desk(market: Path, folder: Path) -> Desk:
    """An experiment on the tiny market, run to its end."""
    desk = set_desk(folder, make_market(market))
    desk.write_plan({"budget": {"rounds": 1}})
    assert run([*desk.run_arguments(), "--accept-suspect"]) == 0
    return desk


def live_of(desk: Desk) -> LiveData:
    return LiveData(desk.version / "live.parquet", desk.version / "live_benchmark_models.parquet")


def exported(
    desk: Desk,
    out: Path,
    changes: dict[str, Any] | None = None,
    python: str | None = None,
    model: dict[str, Any] | None = None,
) -> Verification:
    """The winner, with ``changes`` to its config or another ``model`` section, as a pickle."""
    paths = ExperimentPaths(desk.exp)
    choice = choose(paths, "capacity", None)
    values = apply_overrides(choice.config.to_json(), changes or {})
    config = validate(Config, values if model is None else {**values, "model": model}, "test")
    store = FitStore(desk.data / "store")
    order = ExportOrder(
        replace(choice, config=config), paths, container_for(python or PYTHONS[0]), out, live_of(desk), store
    )
    return export(order, Catalog(desk.data), lambda jobs: in_process(jobs, 2), lambda _: None)
