"""``baseline``: run a baseline once a data version; experiments and ``compare`` find its results again."""

from pathlib import Path
from typing import Annotated, Any

import typer

from numerai_ray.cli.options import AddressOption, DataDirOption, InProcessOption, JsonOption
from numerai_ray.config import Config, parse_yaml, read_text, validate
from numerai_ray.config.shipped import find_shipped
from numerai_ray.config.versions import settled_data
from numerai_ray.errors import ConfigError, FitError, RequestError
from numerai_ray.experiment.score_values import official_metrics
from numerai_ray.metrics.scoring import Metrics
from numerai_ray.progress.round_state import number
from numerai_ray.progress.terminal import Console, say, tell_code
from numerai_ray.session.opening import model_code, open_runner
from numerai_ray.session.places import data_place
from numerai_ray.session.versions import data_defaults
from numerai_ray.system.json_text import to_json
from numerai_ray.system.storage import Place, local_folder

DataVersionOption = Annotated[
    str | None,
    typer.Option("--data-version", metavar="VERSION", help="Else the baseline's, else the newest one here."),
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Examples: numerai-ray baseline small_lgbm_ender20_downsampled · "
        "numerai-ray baseline small_lgbm_ender20 --data-version v5.3 --json"
    )(baseline)


def baseline(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A file of experiments/baselines/, shipped or your own.")],
    data_dir: DataDirOption = None,
    address: AddressOption = None,
    *,
    data_version: DataVersionOption = None,
    in_process: InProcessOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a baseline and keep its results under the data root; once is enough for a data version."""
    from numerai_ray.experiment.baselines import BaselineStore

    root = data_place(data_dir)
    plan = baseline_plan(name, data_version, root, elsewhere=address is not None)
    store = BaselineStore.below(root)
    entry = store.find(plan)
    there = entry is not None
    entry = entry or _run(name, plan, store, root, address, in_process=in_process, quiet=as_json)
    if as_json:
        say(to_json(baseline_record(entry) | {"ran": not there}, indent=2))
        return
    data = entry.config["data"]
    say(f"{entry.name} on {data['version']}, {data['file']}, {data['feature_set']}: {_line(entry.metrics)}")
    say(f"{entry.folder}" + (f" (there since {entry.made}; nothing was run)" if there else ""))


def baseline_record(entry: Any) -> dict[str, Any]:
    """A stored baseline as plain values."""
    return {
        "name": entry.name,
        "made": entry.made,
        "folder": str(entry.folder),
        "data": {key: entry.config["data"][key] for key in ("version", "file", "feature_set", "target")},
        "fingerprint": entry.value["fingerprint"],
        "metrics": official_metrics(entry.metrics),
    }


def baseline_plan(name: str, version: str | None, root: Place, *, elsewhere: bool = False) -> Any:
    """The baseline on its own file and feature set, ready to run here or ``elsewhere``, on a cluster.

    Raises:
        RequestError: the name is a path.
        ConfigError: there is none of that name, or something in its file is wrong.
        DataError: a data file is missing.

    """
    from numerai_ray.training.catalog import Catalog

    if Path(name).name != name:
        raise RequestError(f"NAME must be the name of a file of experiments/baselines/, but is {name!r}; put it there")
    try:
        file = find_shipped("baselines", name)
    except ConfigError as error:
        raise ConfigError("NAME", error.problems) from None
    values = settled_data(parse_yaml(read_text(file), str(file)), data_defaults(root), version)
    config = validate(Config, values, str(file))
    tell_code(*model_code(config))
    try:
        return Catalog(root, file.parent, elsewhere=elsewhere).plan(name, f"baseline/{name}", config)
    except ConfigError as error:
        raise ConfigError(str(file), error.problems) from None


def _run(name: str, plan: Any, store: Any, root: Place, address: str | None, *, in_process: bool, quiet: bool) -> Any:
    from numerai_ray.data.leaks import leaks
    from numerai_ray.experiment.variant_output import data_flags

    console = Console(stderr=True, quiet=quiet)
    features = tuple(sorted({feature for fit in plan.fits for feature in fit.features}))
    suspects = leaks(plan.index, features, plan.targets)
    logs = local_folder(store.root) / ".runs" / name
    with open_runner(root, logs, address, in_process=in_process) as runner:
        with console.status(f"training {len(plan.fits)} folds"):
            outcome = runner.run([plan], lambda _: None)[plan.id]
        if outcome.error is not None:
            raise FitError(f"{name}: {outcome.error}")
        entry = store.keep(name, outcome, runner.columns(plan), (*suspects, *data_flags(outcome)))
    for note in plan.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    return entry


def _line(metrics: Metrics) -> str:
    return (
        f"bmc_last_200_eras {number(metrics.primary)}  bmc {number(metrics.bmc.mean)}  "
        f"corr {number(metrics.corr.mean)}  avg_corr_with_benchmark {number(metrics.avg_corr_with_benchmark, 3)}"
    )
