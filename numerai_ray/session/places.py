"""Places: where an experiment and its data lie, checked before anything is read or written there."""

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numerai_ray.config.plan import LoadedPlan, load_plan
from numerai_ray.config.shipped import find_shipped, shipped_experiments, shipped_plan
from numerai_ray.config.versions import DataDefaults
from numerai_ray.errors import EnvironmentFault, RequestError, nearest
from numerai_ray.experiment.mirror import ResultsMirror
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.progress.terminal import say
from numerai_ray.session.versions import data_defaults, newest_present, ran_on
from numerai_ray.system.files import write_text
from numerai_ray.system.services import PATIENCE_S, in_time
from numerai_ray.system.storage import DATA_ROOT_VARIABLE, Place, Url, check_writable, leave_unfinished, place


def data_root(given: str | None, *, made_here: bool = False) -> Path:
    """``--data-dir``, else the environment, else ``./data``: a folder of this machine.

    Raises:
        RequestError: it is no folder, or not there although nothing is ``made_here``.

    """
    root, name = _data_root(given)
    if isinstance(root, Url):
        raise RequestError(f"{name}: must be a local folder here, but is {root}; copy what is made here there")
    if not root.exists() and not made_here:
        next_step = "give the folder above the data versions, or make one with `numerai-ray data synth`"
        raise RequestError(f"{name}: {root}: no such folder; {next_step}")
    return writable_folder(root, name) if made_here else existing_folder(root, name)


def newest_here(given: str | None = None) -> str | None:
    """The newest data version under the data root; None where there is none, or no root."""
    return newest_present(_data_root(given)[0])


def defaults_here(ran: Mapping[str, Any]) -> DataDefaults:
    """What a plan that names no version or benchmark means on the usual data root; ``ran``: what it ran on first."""
    root, name = _data_root(None)
    return data_defaults(root, ran, lambda root: answering(root, name))


def data_place(given: str | None, *, made_here: bool = False) -> Place:
    """Like :func:`data_root`, for commands that only read the data: also a URL of object storage."""
    root, name = _data_root(given)
    if not isinstance(root, Url):
        return data_root(given, made_here=made_here)
    if not answering(root, name).is_dir():
        raise RequestError(f"{name}: {root}: no such folder there; copy the folders of the data versions to it")
    return root


def answering(where: Place, name: str) -> Place:
    """``where``, after making sure that a storage answers: its client alone would wait for minutes.

    Raises:
        EnvironmentFault: it does not.

    """
    if isinstance(where, Url):
        try:
            in_time(where.exists, PATIENCE_S)
        except TimeoutError as error:
            leave_unfinished()
            raise EnvironmentFault(
                f"{name}: {where}: the storage cannot be reached ({error}); check AWS_ENDPOINT_URL and the network, "
                f"then run again"
            ) from None
    return where


def _data_root(given: str | None) -> tuple[Place, str]:
    variable = os.environ.get(DATA_ROOT_VARIABLE)
    name = "--data-dir" if given or not variable else f"${DATA_ROOT_VARIABLE}"
    return place(given or variable or "data"), name


def existing_folder(path: Path, name: str) -> Path:
    """``path`` unless it is something other than a folder; ``name`` is the option that gave it."""
    if path.exists() and not path.is_dir():
        raise RequestError(f"{name} must be a folder, but {path} is a file; give another path")
    return path


def writable_folder(path: Path, name: str) -> Path:
    """``path``, there already or not, after making sure that it can be written; found out before hours of work.

    Raises:
        RequestError: it lies in or is a file.
        EnvironmentFault: it cannot be written.

    """
    there = path
    while not there.exists():
        there = there.parent
    existing_folder(there, name)
    try:
        with tempfile.TemporaryFile(dir=there):
            return path
    except OSError as error:
        why = error.strerror or error
        raise EnvironmentFault(f"{name}: {path} cannot be written ({why}); choose another folder") from None


def writable_place(where: Place, name: str) -> Place:
    """Like :func:`writable_folder`, also for a URL."""
    if isinstance(where, Url):
        check_writable(where, name)
        return where
    return writable_folder(where, name)


def experiment_paths(folder: Path) -> ExperimentPaths:
    """Paths of an experiment that exists.

    Raises:
        RequestError: there is no plan in the folder; names the nearest experiment.

    """
    paths = ExperimentPaths(folder)
    if paths.plan.is_file():
        return paths
    _refuse_bare_name(folder)
    if folder.is_file():
        hint = f"did you mean {folder.parent}?" if folder.name == paths.plan.name else "give the folder"
        raise RequestError(f"{folder}: EXP must be a folder with an experiment.yaml, but this is a file; {hint}")
    if not folder.exists() and folder.name in shipped_experiments():
        raise RequestError(f"{folder}: no experiment.yaml there yet; start with `numerai-ray run {folder}`")
    beside = [plan.parent.name for plan in folder.parent.glob("*/experiment.yaml")]
    known = sorted({*beside, *shipped_experiments()})
    raise RequestError(f"{folder}: no experiment.yaml there{nearest(folder.name, known)}")


def _refuse_bare_name(folder: Path) -> None:
    """Refuse a folder that is not there where ``experiments/`` beside it has one of that name: it is meant."""
    meant = folder.parent / "experiments" / folder.name
    if not folder.exists() and ExperimentPaths(meant).plan.is_file():
        raise RequestError(f"{folder}: no such folder; did you mean {meant}?")


def fetch_results(folder: Path, results: str | None) -> None:
    """Bring an experiment's copy here, so that reading commands see what runs elsewhere."""
    if results is None:
        return
    copy = answering(place(results), "--results")
    if ResultsMirror(folder, copy).fetch(reader=True) == 0 and not folder.exists():
        raise RequestError(f"--results: {results}: holds no experiment yet; check the URL, or wait for its first round")


def open_experiment(
    folder: Path, data_dir: str | None = None, on_data: Callable[[Place], None] | None = None
) -> tuple[ExperimentPaths, LoadedPlan]:
    """An experiment and its checked plan; one that comes with the package is put in place on first use.

    ``data_dir`` is the data root as it was given: a plan that names no data version means the newest one there.
    ``on_data`` is called with the data root where what the plan means depends on it.
    """
    shipped = shipped_plan(folder.name)
    if not folder.exists() and shipped is not None:
        _refuse_bare_name(folder)
        say(f"{folder} is new: its experiment.yaml is the one that comes with the package", err=True)
        write_text(ExperimentPaths(folder).plan, shipped.read_text(encoding="utf-8"))
    paths = experiment_paths(folder)
    root, option = _data_root(data_dir)

    def reached(root: Place) -> Place:
        if on_data is not None:
            on_data(root)
        return answering(root, option)

    defaults = data_defaults(root, ran_on(paths), reached)
    return paths, load_plan(paths.plan, lambda kind, name: find_shipped(kind, name, folder), defaults)
