"""One run of a pickle on one set of rows: as Numerai runs it, within Numerai's limits, and what came of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numerai_ray.submission.container.containers import INSIDE, LIVE_ROWS, MEMORY_BYTES, SECONDS
from numerai_ray.submission.container.environment import Environment, Limits, Ran, isolation, run_inside
from numerai_ray.system.json_text import parse_json
from numerai_ray.system.storage import Place, download

# Reading the data and starting Python come on top of Numerai's limit here.
_OVERHEAD_S = 120.0


@dataclass(frozen=True)
class Trial:
    """One run of the pickle on one set of rows.

    ``seconds`` are loading and predicting, ``live_seconds`` the same for a live round's rows; ``one_argument`` says
    what happens without benchmark models, None where the pickle takes one argument anyway.
    """

    rows: int
    eras: int
    arguments: int
    seconds: float
    live_seconds: float
    peak_bytes: int
    column: str
    one_argument: str | None


@dataclass(frozen=True)
class LiveData:
    """Live features and, where there are any, live benchmark models."""

    features: Place
    benchmarks: Place | None

    @property
    def complete(self) -> bool:
        return self.features.exists() and (self.benchmarks is None or self.benchmarks.exists())


@dataclass(frozen=True)
class Desk:
    """A folder with the pickle's runner; nothing else of this machine matters to what runs there."""

    folder: Path
    pickle: Path
    environment: Environment

    @property
    def predictions(self) -> Path:
        """What the last run predicted: parquet, the ids in the index, one column ``prediction``."""
        return self.folder / "predictions.parquet"

    def run(self, data: LiveData) -> tuple[Trial | None, tuple[str, ...]]:
        """What the pickle does with ``data``, None where it fails, and every problem found."""
        (self.folder / "runner.py").write_bytes((INSIDE / "runner.py").read_bytes())
        request = {
            "model": str(self.pickle.resolve()),
            "features": str(self._here(data.features)),
            "benchmarks": None if data.benchmarks is None else str(self._here(data.benchmarks)),
            "predictions": str(self.predictions),
            "report": str(self.folder / "report.json"),
            "forbidden": ["numerai_ray"],
            "offline": not isolation(),
        }
        (self.folder / "report.json").unlink(missing_ok=True)
        (self.folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        limits = Limits(SECONDS + _OVERHEAD_S, MEMORY_BYTES)
        arguments = [str(self.folder / "runner.py"), str(self.folder / "request.json")]
        ran = run_inside(self.environment, arguments, self.folder, limits)
        report = self._report(ran)
        problem = _problem(ran, report)
        if problem is not None:
            return None, (problem,)
        trial = _trial(report)
        return trial, tuple(_over_limits(trial))

    def _here(self, where: Place) -> Path:
        """A file that a process without network can read."""
        if isinstance(where, Path):
            return where.resolve()
        local = self.folder / where.name
        if not local.exists():
            download(where, local)
        return local

    def _report(self, ran: Ran) -> dict[str, Any]:
        try:
            return dict(parse_json((self.folder / "report.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return {"ok": False, "step": "start", "error": ran.output.strip()[-500:] or f"exit code {ran.code}"}


def _problem(ran: Ran, report: Mapping[str, Any]) -> str | None:
    """Why there are no predictions, or None."""
    if ran.over == "memory":
        return f"takes more than {_gb(MEMORY_BYTES)} of memory (ended at {_gb(ran.peak_bytes)}); use fewer models"
    if ran.over == "time":
        return f"takes more than {SECONDS:.0f} s on one core (ended after {ran.seconds:.0f} s); use fewer trees"
    if report["ok"]:
        return None
    error = report["error"] or ran.output.strip()[-500:] or f"Python ended by itself, exit code {ran.code}"
    if ran.code < 0:
        return f"Python dies of signal {-ran.code} in step {report['step']}; was the pickle made by another Python?"
    doing = {"load": "cannot be loaded", "call": "predict fails"}.get(report["step"], "cannot be tried")
    return f"{doing}: {error}"


def _trial(report: Mapping[str, Any]) -> Trial:
    once = report["load_s"] + report["first_s"]
    scale = max(1.0, LIVE_ROWS / max(1, report["rows"]))
    return Trial(
        rows=report["rows"],
        eras=report["eras"],
        arguments=report["arguments"],
        seconds=round(once + report["predict_s"], 3),
        live_seconds=round(once + scale * report["predict_s"], 3),
        peak_bytes=report["peak_bytes"],
        column=report["column"],
        one_argument=report.get("one_argument"),
    )


def _over_limits(trial: Trial) -> Sequence[str]:
    found = []
    if trial.live_seconds > SECONDS:
        found.append(
            f"would take {trial.live_seconds:.0f} s for {LIVE_ROWS:,} live rows on one core, over Numerai's limit of "
            f"{SECONDS:.0f} s; use fewer trees, seeds or members"
        )
    if trial.peak_bytes > MEMORY_BYTES:
        found.append(f"takes {_gb(trial.peak_bytes)} of memory, over Numerai's limit of {_gb(MEMORY_BYTES)}")
    return found


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
