"""``numerai-ray predict`` and ``diagnose``: predictions for the live round, and Numerai's word on validation ones."""

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from numerai_ray.cli.commands.submission import (
    BenchmarksOption,
    PythonOption,
    VariantOption,
    export_to,
    live_given,
    root_if_there,
    steps,
)
from numerai_ray.cli.commands.upload import ModelOption, ViaOption, YesOption, confirm, connect, watch
from numerai_ray.cli.options import AddressOption, DataDirOption, ExperimentArgument, InProcessOption, JsonOption
from numerai_ray.config.official import NEWEST_VERSION
from numerai_ray.errors import RequestError
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.progress.terminal import Console, say, tell_code
from numerai_ray.session.exporting import live_of
from numerai_ray.session.places import data_root, newest_here, open_experiment, writable_folder
from numerai_ray.system.json_text import without_nan


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command(epilog="Example: numerai-ray predict model.pkl --live live.parquet --out predictions.csv")(predict)
    app.command(epilog="Example: numerai-ray diagnose experiments/quickstart --model my_model")(diagnose)


def predict(
    target: Annotated[Path, typer.Argument(metavar="EXP|PICKLE", help="A pickle, or an experiment: its winner.")],
    *,
    live: Annotated[
        Path | None,
        typer.Option("--live", metavar="FILE", help="Live features; else live.parquet of the data version."),
    ] = None,
    benchmarks: BenchmarksOption = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Predictions as .csv or .parquet: id and prediction.")
    ] = Path("live_predictions.csv"),
    submit: Annotated[
        str | None, typer.Option("--submit", metavar="NAME", help="Submit them for this model's open round.")
    ] = None,
    via: ViaOption = "numerapi",
    variant: VariantOption = None,
    python: PythonOption = None,
    data_dir: DataDirOption = None,
    address: AddressOption = None,
    in_process: InProcessOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Predict the live round with a pickle, as Numerai's container would, and optionally submit the predictions."""
    from numerai_ray.submission.numerai.predictions import live_predictions, out_path, write_predictions

    writable_folder(out_path(out).parent, "--out")
    given = live_given(live, benchmarks)
    pickle = target
    if not target.is_file():
        pickle = _exported(target, variant, python, data_dir, address, in_process=in_process)
    else:
        tell_code(str(pickle))
    environment, version = _environment(pickle, python)
    data = given or live_of(root_if_there(data_dir), version)
    if data is None:
        raise RequestError(f"--live: no live data of {version} here; get it with `numerai-ray data download`")
    with steps() as on_step:
        on_step("predicting as Numerai's container does")
        frame = live_predictions(pickle, environment, data)
    write_predictions(frame, out)
    submitted = None if submit is None else _submit(out, submit, via, yes=yes)
    if as_json:
        say(json.dumps({"predictions": str(out), "rows": len(frame), "submission": submitted}, indent=2))
        return
    say(f"{out}: {len(frame):,} predictions" + (f", submitted as {submitted}" if submitted else ""))


def diagnose(
    exp: ExperimentArgument,
    *,
    model: ModelOption = None,
    variant: VariantOption = None,
    via: ViaOption = "numerapi",
    data_dir: DataDirOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Have Numerai judge a variant's out-of-fold validation predictions, and show its scores beside ours."""
    from numerai_ray.submission.export.choice import choose
    from numerai_ray.submission.numerai.account import find_slot
    from numerai_ray.submission.numerai.diagnostics import compared, diagnosis_of
    from numerai_ray.submission.numerai.predictions import Sender, write_predictions

    paths, loaded = open_experiment(exp)
    choice = choose(paths, loaded.name, variant)
    validation = data_root(data_dir) / choice.config.data.version / "validation.parquet"
    found = diagnosis_of(choice, paths, validation)
    if model is None:
        raise RequestError("--model is missing: diagnostics belong to a model; see `numerai-ray upload --list`")
    numerai = connect(via)
    slot = find_slot(numerai.slots(), model)
    rows = f"{len(found.frame):,} validation predictions of {choice.record.id}"
    confirm(f"Send {rows} to Numerai's diagnostics of {slot.name}?", yes=yes)
    with tempfile.TemporaryDirectory(prefix="numerai-ray-") as folder:
        file = Path(folder) / f"{choice.record.id}.csv"
        write_predictions(found.frame, file)
        theirs = Sender(numerai, watch()).diagnose(file, slot)
    table = compared(found, theirs)
    if as_json:
        value = {
            "variant": choice.record.id,
            "eras": len(found.eras),
            "metrics": table,
            "message": theirs.get("message"),
        }
        say(json.dumps(without_nan(value), indent=2))
        return
    _print_compared(table, len(found.eras))


def _exported(
    exp: Path, variant: str | None, python: str | None, data_dir: str | None, address: str | None, *, in_process: bool
) -> Path:
    """The experiment's pickle: the one in its folder while it is still the chosen variant's, else a new export."""
    from numerai_ray.submission.container.verify import read_card
    from numerai_ray.submission.export.choice import choose
    from numerai_ray.submission.files import SubmissionFiles

    paths, loaded = open_experiment(exp)
    choice = choose(paths, loaded.name, variant)
    out = _pickle_of(paths, choice.record.id)
    card = read_card(SubmissionFiles(out)) if out.is_file() else None
    same = card is not None and card["fingerprints"]["config"] == choice.config.fingerprint()
    if not same or (python is not None and card is not None and card["python"] != python):
        export_to(exp, out, (variant, python), data_dir, address, in_process=in_process)
    return out


def _pickle_of(paths: ExperimentPaths, variant: str) -> Path:
    return paths.root / "submission" / f"{variant}.pkl"


def _environment(pickle: Path, python: str | None) -> tuple[Any, str]:
    """The container's environment for a pickle, and the data version that it reads."""
    from numerai_ray.submission.container.containers import DEFAULT_PYTHON, container_for
    from numerai_ray.submission.container.environment import environment_for
    from numerai_ray.submission.container.verify import read_card
    from numerai_ray.submission.files import SubmissionFiles

    card = read_card(SubmissionFiles(pickle))
    container = container_for(python or (card or {}).get("python") or DEFAULT_PYTHON)
    with steps() as on_step:
        environment = environment_for(container, on_step)
    version = (card or {}).get("data", {}).get("version") or newest_here()
    return environment, str(version or NEWEST_VERSION)


def _submit(file: Path, name: str, via: str, *, yes: bool) -> str:
    from numerai_ray.submission.numerai.account import find_slot
    from numerai_ray.submission.numerai.predictions import Sender

    numerai = connect(via)
    slot = find_slot(numerai.slots(), name)
    confirm(f"Submit {file} for the open round of {slot.name}?", yes=yes)
    return Sender(numerai, watch()).submit(file, slot)


def _print_compared(rows: list[dict[str, Any]], eras: int) -> None:
    table = Table(title=f"validation, {eras:,} eras", title_justify="left", box=None, pad_edge=False)
    for name in ("metric", "ours", "Numerai"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for row in rows:
        table.add_row(row["metric"], _number(row["ours"]), _number(row["numerai"]))
    Console().print(table)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.5f}"
