"""Results of baselines, run once a data version, kept under the data root for every experiment and for ``compare``.

They are found by what decides them, never by name: the config, the keys of its fits (so the data file's contents, the
eras trained on and predicted, the libraries) and the benchmark file that scores are taken against. A stage whose file,
feature set or kept eras differ has other results, and :meth:`BaselineStore.why_not` says which.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from numerai_ray.config import ScoreConfig, fingerprint, leaves, validate
from numerai_ray.data.dataset import Columns, file_fingerprint
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import VariantRecord
from numerai_ray.experiment.score_values import per_era_scores
from numerai_ray.experiment.variant_output import write_variant
from numerai_ray.metrics.scoring import SCORING_VERSION, Metrics
from numerai_ray.system.files import write_text
from numerai_ray.system.json_text import parse_json, read_json, to_json, write_json
from numerai_ray.system.storage import Place, download, folders_in, upload, write_whole
from numerai_ray.training.outcome import VariantOutcome, metrics_by
from numerai_ray.training.spec import VariantPlan

FOLDER = "baselines"  # below the data root
RESULTS, PREDICTIONS = "results.json", "predictions.parquet"


@dataclass(frozen=True, eq=False)
class StoredBaseline:
    """Results of one baseline on one file: ``value`` is its results JSON, ``folder`` where they lie."""

    folder: Place
    value: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The baseline's name when it was run."""
        return str(self.value["baseline"]["name"])

    @property
    def made(self) -> str:
        """The day on which it was run."""
        return str(self.value["baseline"]["made"])[:10]

    @property
    def config(self) -> Mapping[str, Any]:
        """The config as it ran, as plain values."""
        return dict(self.value["baseline"]["config"])

    @property
    def score(self) -> ScoreConfig:
        """How it was scored."""
        return validate(ScoreConfig, self.config["score"], str(self.folder))

    @property
    def metrics(self) -> Metrics:
        """Its scores, summarized again from those of each era."""
        return metrics_by(self.score, per_era_scores(self.value["per_era"])[1])

    def copy_to(self, paths: ExperimentPaths, trial: str) -> None:
        """Results and predictions as files of an experiment's trial."""
        predictions = paths.predictions(trial)
        predictions.parent.mkdir(parents=True, exist_ok=True)
        download(self.folder / PREDICTIONS, predictions)
        output = {
            "output_dir": paths.root.name,
            "predictions_file": predictions.relative_to(paths.root).as_posix(),
        }
        write_json(paths.results(trial), {**self.value, "output": output})
        lines = (f"read from {self.folder}", f"run by `numerai-ray baseline {self.name}` on {self.made}")
        write_text(paths.trial_log(trial), "\n".join([trial, *lines]) + "\n")

    def record(self, trial: str, name: str, identity: str) -> VariantRecord:
        """Its line in a round's table: nothing was trained for it."""
        flags = tuple(self.value["baseline"]["flags"])
        return VariantRecord(
            id=trial,
            name=name,
            role="baseline",
            fingerprint=identity,
            changes={},
            metrics=self.metrics,
            flags=flags,
            data_flags=flags,
            fits_stored=int(self.value["baseline"]["fits"]),
        )


def baseline_identity(plan: VariantPlan) -> str:
    """Sixteen hex digits of everything that decides a plan's results."""
    keys = [spec.key for spec in plan.fits]
    return fingerprint([plan.config.fingerprint(), keys, plan.predicted["scored"], SCORING_VERSION], digits=16)


def _endings(plan: VariantPlan) -> tuple[str, ...]:
    """How the names of a plan's entries end: those made before November 2026 hold the whole files' fingerprints."""
    keys = [spec.names[-1] for spec in plan.fits]
    benchmark = file_fingerprint(plan.index.benchmark_path)
    former = fingerprint([plan.config.fingerprint(), keys, benchmark, SCORING_VERSION], digits=16)
    return f"-{baseline_identity(plan)}", f"-{former}"


@dataclass(frozen=True)
class BaselineStore:
    """The folder ``baselines`` of a data root, one folder of files for each baseline and file."""

    root: Place

    @classmethod
    def below(cls, data_root: Place) -> "BaselineStore":
        """The store of a data root."""
        return cls(data_root / FOLDER)

    def find(self, plan: VariantPlan) -> StoredBaseline | None:
        """What was stored for exactly this plan; a damaged entry counts as none."""
        names = folders_in(self.root)
        if not names:
            return None
        own = _endings(plan)
        return next((found for name in names if name.endswith(own) and (found := self._read(name)) is not None), None)

    def all(self) -> list[StoredBaseline]:
        """Everything stored, in order of names."""
        return [found for name in folders_in(self.root) if (found := self._read(name)) is not None]

    def keep(self, name: str, outcome: VariantOutcome, columns: Columns, flags: tuple[str, ...]) -> StoredBaseline:
        """Store an outcome; the results file, written last, is what makes it there.

        Raises:
            EnvironmentFault: the data root cannot be written.

        """
        plan = outcome.plan
        folder = self.root / f"{name}-{baseline_identity(plan)}"
        with tempfile.TemporaryDirectory(prefix="numerai-ray-") as own:
            results, predictions = Path(own) / "results" / RESULTS, Path(own) / "predictions" / PREDICTIONS
            write_variant(outcome, columns, results, predictions)
            upload(predictions, folder / PREDICTIONS)
            value = read_json(results)
        value["output"] = {"output_dir": str(folder), "predictions_file": PREDICTIONS}
        value["baseline"] = {
            "name": name,
            "made": datetime.now(UTC).isoformat("T", "seconds"),
            "config": plan.config.to_json(),
            "fits": len(plan.fits),
            "flags": list(flags),
        }
        write_whole(folder / RESULTS, (to_json(value, indent=2) + "\n").encode())
        return StoredBaseline(folder, value)

    def why_not(self, plan: VariantPlan) -> str:
        """Why no stored results of the same model serve ``plan``; "" where there are none of it."""
        wanted = leaves(plan.config.to_json())
        apart = []
        for entry in self.all():
            if entry.config["model"] != plan.config.to_json()["model"]:
                continue
            theirs = leaves(entry.config)
            keys = sorted(key for key in wanted.keys() | theirs.keys() if wanted.get(key) != theirs.get(key))
            told = [f"{key} is {theirs.get(key)} there, {wanted.get(key)} here" for key in keys]
            apart.append((len(keys), entry.name, told))
        damaged = [name for name in folders_in(self.root) if name.endswith(_endings(plan))]
        if damaged:  # found by its name, or we would not be asked
            return f"the stored results in {self.root / damaged[0]} are damaged"
        if not apart:
            return ""
        _, name, found = min(apart)
        rule = "; ".join(found) or "the data files, the eras kept out or the libraries are others since"
        return f"the stored results of {name} do not serve: {rule}"

    def _read(self, name: str) -> StoredBaseline | None:
        folder = self.root / name
        try:
            found = StoredBaseline(folder, parse_json((folder / RESULTS).read_bytes()))
            about = found.value["baseline"]
            _ = found.name, found.made, found.metrics, int(about["fits"]), found.config["model"]
            whole = all(isinstance(flag, str) for flag in about["flags"]) and (folder / PREDICTIONS).is_file()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return found if whole else None
