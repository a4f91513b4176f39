"""Arguments that several commands share, and the places they lead to."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from numerai_ray.config import parse_yaml
from numerai_ray.errors import RequestError
from numerai_ray.system.storage import DATA_ROOT_VARIABLE

ExperimentArgument = Annotated[
    Path, typer.Argument(metavar="EXP", help="Folder of an experiment, e.g. experiments/quickstart.")
]
DataDirOption = Annotated[
    str | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help=f"Data root, a folder or s3://… gs://…; else ${DATA_ROOT_VARIABLE}, else ./data.",
    ),
]
ResultsOption = Annotated[
    str | None,
    typer.Option("--results", metavar="URL", help="The experiment's copy: s3://…, gs://… or a folder."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
InProcessOption = Annotated[
    bool, typer.Option("--in-process", help="No Ray: one fit at a time in this process, for debugging.")
]
NotifyOption = Annotated[
    str | None,
    typer.Option("--notify", metavar="URL", help="A webhook that is told in one JSON object what matters."),
]
AcceptSuspectOption = Annotated[
    bool, typer.Option("--accept-suspect", help="Let a variant win although it looks like a leak.")
]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="A running Ray cluster ('auto' on its head); else one starts here.")
]


def within(low: int, high: int | None = None) -> Callable[[int | None], int | None]:
    """Callback of an option that takes a whole number from ``low`` to ``high``; its error names the value."""

    def check(value: int | None) -> int | None:
        if value is not None and not (low <= value and (high is None or value <= high)):
            rule = f"{low} or more" if high is None else f"from {low} to {high}"
            raise typer.BadParameter(f"must be {rule}, but is {value}")
        return value

    return check


def positive(value: float) -> float:
    """Callback of an option that takes a number over 0; its error names the value."""
    if not (value > 0 and math.isfinite(value)):
        raise typer.BadParameter(f"must be a number over 0, but is {value}")
    return value


def varied(text: str) -> tuple[str, list[Any]]:
    """``PATH=v1,v2`` as a path and its values, each read as YAML reads it."""
    path, separator, listed = text.partition("=")
    if not separator or not path.strip() or not listed.strip():
        raise RequestError(f"--vary must be PATH=V1,V2, e.g. model.params.num_leaves=15,63, but is {text!r}")
    values = parse_yaml(f"values: [{listed}]", f"--vary {text}")["values"]
    if not values:
        raise RequestError(f"--vary {text}: names no value")
    return path.strip(), values
