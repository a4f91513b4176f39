"""Commands from a winner to a submission: ``export``, ``verify``."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from numerai_ray.cli.options import AddressOption, DataDirOption, ExperimentArgument, InProcessOption, JsonOption
from numerai_ray.errors import RequestError
from numerai_ray.progress.terminal import Console, say, tell_code
from numerai_ray.session.exporting import live_of
from numerai_ray.session.places import data_root, open_experiment, writable_folder
from numerai_ray.system.json_text import parse_json, without_nan
from numerai_ray.system.storage import DATA_ROOT_VARIABLE

if TYPE_CHECKING:
    from numerai_ray.submission.container.trial_run import LiveData
    from numerai_ray.submission.container.verify import Verification
    from numerai_ray.system.storage import Place

VariantOption = Annotated[
    str | None,
    typer.Option(
        "--variant",
        metavar="NAME",
        help="A variant's id or name, else the experiment's winner; of an ensemble best-N or library-N, else all.",
    ),
]
PythonOption = Annotated[
    str | None,
    typer.Option("--python", metavar="3.12", help="Numerai's container: its Python version chooses the pins."),
]
LiveOption = Annotated[
    Path | None,
    typer.Option("--live", metavar="FILE", help="Live features; else live.parquet of the data version, if there."),
]
BenchmarksOption = Annotated[
    Path | None, typer.Option("--benchmarks", metavar="FILE", help="Live benchmark models that go with --live.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(epilog="Example: numerai-ray export experiments/quickstart --out model.pkl")(export)
    app.command(epilog="Example: numerai-ray verify model.pkl --python 3.13 --json")(verify)


def export(
    exp: ExperimentArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The pickle; its card and proof go beside it.")],
    variant: VariantOption = None,
    python: PythonOption = None,
    data_dir: DataDirOption = None,
    address: AddressOption = None,
    *,
    in_process: InProcessOption = False,
    as_json: JsonOption = False,
) -> None:
    """Refit a variant, or an ensemble, on every labelled era into one pickle, proved for Numerai's container."""
    found = export_to(exp, out, (variant, python), data_dir, address, in_process=in_process)
    if as_json:
        card = parse_json(out.with_suffix(".json").read_bytes())
        say(json.dumps({"files": [str(each) for each in _files(out)], **card}, indent=2))
        return
    _print_found(found)
    say("\n".join(str(each) for each in _files(out)))
    say(f"next: numerai-ray upload {out} --model NAME")


def verify(
    pickle: Annotated[Path, typer.Argument(metavar="PICKLE", help="A pickle made by `numerai-ray export`, or any.")],
    python: PythonOption = None,
    live: LiveOption = None,
    benchmarks: BenchmarksOption = None,
    data_dir: DataDirOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Try a pickle as Numerai runs it: its Python and libraries, no network, one core, none of our code."""
    from numerai_ray.submission.container.containers import DEFAULT_PYTHON, container_for
    from numerai_ray.submission.container.environment import environment_for
    from numerai_ray.submission.container.verify import read_card
    from numerai_ray.submission.container.verify import verify as verify_pickle
    from numerai_ray.submission.files import SubmissionFiles

    if not pickle.is_file():
        raise RequestError(f"{pickle}: no such file; make one with `numerai-ray export EXP --out {pickle.name}`")
    tell_code(str(pickle))
    card = read_card(SubmissionFiles(pickle))
    container = container_for(python or (card or {}).get("python") or DEFAULT_PYTHON)
    given = live_given(live, benchmarks)
    if given is None and card is not None:
        given = live_of(root_if_there(data_dir), str(card.get("data", {}).get("version")))
    with steps() as on_step:
        environment = environment_for(container, on_step)
        found = verify_pickle(pickle, environment, given)
    if as_json:
        say(json.dumps(without_nan(found.to_json()), indent=2))
    else:
        _print_found(found)
    if not found.ok:
        raise typer.Exit(2)


def export_to(
    exp: Path,
    out: Path,
    what: tuple[str | None, str | None],
    data_dir: str | None,
    address: str | None,
    *,
    in_process: bool,
) -> "Verification":
    """Export an experiment's variant for a Python version, both in ``what``, with None for the defaults."""
    from numerai_ray.ensembles.outcome import is_ensemble
    from numerai_ray.session.exporting import ExportAsked, export_ensemble, export_variant
    from numerai_ray.submission.export.packing import pickle_path

    folder = writable_folder(pickle_path(out).parent, "--out")
    if not folder.exists():
        say(f"note: --out: there is no folder {folder} yet; it is made with the pickle", err=True)
    asked = ExportAsked(out, *what, lambda: data_root(data_dir), address, in_process=in_process)
    if is_ensemble(exp):
        with steps() as on_step:
            return export_ensemble(exp, asked, on_step)
    paths, loaded = open_experiment(exp)
    with steps() as on_step:
        return export_variant(paths, loaded, asked, on_step)


def root_if_there(data_dir: str | None) -> "Place | None":
    """The data root, None where none is named and ``./data`` is not there: a pickle can be tried without."""
    named = data_dir or os.environ.get(DATA_ROOT_VARIABLE)
    return data_root(data_dir) if named or Path("data").is_dir() else None


def live_given(live: Path | None, benchmarks: Path | None) -> "LiveData | None":
    from numerai_ray.submission.container.trial_run import LiveData

    if live is None:
        if benchmarks is not None:
            raise RequestError("--benchmarks goes with --live; give both")
        return None
    for name, path in (("--live", live), ("--benchmarks", benchmarks)):
        if path is not None and not path.is_file():
            raise RequestError(f"{name}: {path}: no such file; download it with `numerai-ray data download`")
    return LiveData(live, benchmarks)


def _files(out: Path) -> list[Path]:
    from numerai_ray.submission.files import SubmissionFiles

    files = SubmissionFiles(out)
    return [files.pickle, files.proof, files.card, files.card_text]


def _print_found(found: "Verification") -> None:
    """What the proof showed, a line each."""
    from numerai_ray.submission.container.verify import verification_lines

    for line in verification_lines(found):
        say(line)


class steps:  # noqa: N801  used as a function
    """Says on stderr what is being done; a spinner on a terminal, a line elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._status = self._console.status("")

    def __enter__(self) -> Callable[[str], None]:
        if self._console.is_terminal:
            self._status.start()
            return self._say
        return lambda text: self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _say(self, text: str) -> None:
        self._status.update(text)

    def __exit__(self, *_: object) -> None:
        self._status.stop()
