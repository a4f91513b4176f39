"""Proof before upload: a pickle tried as Numerai runs it, alone, offline, on one core, with the container's libraries.

Numerai answers a broken pickle hours later, with a log; everything that it checks is checked here first, and one
thing that it cannot: that the predictions are those of our own pipeline.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from numerai_ray.data.download.fetch import size_text
from numerai_ray.errors import DataError, RequestError
from numerai_ray.submission.container.containers import MEMORY_BYTES, SECONDS, Container
from numerai_ray.submission.container.environment import Environment, isolation
from numerai_ray.submission.container.proof import Proof, read_proof
from numerai_ray.submission.container.trial_run import Desk, LiveData, Trial
from numerai_ray.submission.files import SubmissionFiles, sha256
from numerai_ray.system.json_text import parse_json
from numerai_ray.training.store.entry import mapping

TOLERANCE = 1e-9
# Predictions are ranks: where libraries differ, more than this is another model, not rounding.
LARGEST_SHIFT = 0.01


@dataclass(frozen=True)
class Agreement:
    """How far the pickle's predictions are from our pipeline's, on the proof's rows."""

    rows: int
    largest: float
    differing: int
    libraries: tuple[str, ...]

    @property
    def equal(self) -> bool:
        return self.largest <= TOLERANCE


@dataclass(frozen=True)
class Verification:
    """What a check found; ``problems`` empty means that Numerai's container will run it."""

    pickle: str
    sha256: str
    size_bytes: int
    python: str
    offline_by: str
    libraries: Mapping[str, str]
    proof: Trial | None = None
    live: Trial | None = None
    agreement: Agreement | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        equal = None if self.agreement is None else self.agreement.equal
        return {"ok": self.ok, "equal": equal, **asdict(self)}


def read_card(files: SubmissionFiles) -> dict[str, Any] | None:
    """The card beside a pickle, or None; raises :class:`DataError` for a damaged one."""
    if not files.card.exists():
        return None
    try:
        card = dict(parse_json(files.card.read_bytes()))
        for name in ("data", "pickle"):
            mapping(card.get(name, {}))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{files.card}: is damaged ({error}); export the model again, or remove the card") from None
    return card


def verify(pickle: Path, environment: Environment, live: LiveData | None) -> Verification:
    """Try a pickle on its proof and on live data.

    Raises:
        RequestError: there is no pickle, or neither a proof nor live data to try it on.
        DataError: the proof is damaged.

    """
    if not pickle.is_file():
        raise RequestError(f"{pickle}: no such file; make one with `numerai-ray export EXP --out {pickle.name}`")
    files = SubmissionFiles(pickle)
    digest = sha256(pickle)
    proof = read_proof(files.proof, digest)
    if proof is None and live is None:
        raise RequestError(
            f"{pickle}: nothing to try it on: no {files.proof.name} beside it and no live data; name some with --live"
        )
    found = Verification(
        pickle=str(pickle),
        sha256=digest,
        size_bytes=pickle.stat().st_size,
        python=environment.container.python,
        offline_by=" ".join(isolation()) or "an audit hook in the process",
        libraries=dict(environment.container.pins),
    )
    with tempfile.TemporaryDirectory(prefix="numerai-ray-") as name:
        return _tried(Desk(Path(name), pickle, environment), found, proof, live)


def _tried(desk: Desk, found: Verification, proof: Proof | None, live: LiveData | None) -> Verification:
    problems: list[str] = []
    notes: list[str] = []
    trials: dict[str, Trial | None] = {"proof": None, "live": None}
    agreement = None

    def run(what: str, data: LiveData) -> Trial | None:
        trial, wrong = desk.run(data)
        problems.extend(f"{what}: {each}" for each in wrong)
        return trial

    if proof is None:
        notes.append("no proof beside the pickle: its predictions were not compared with the pipeline's")
    else:
        features, benchmarks = desk.folder / "proof.parquet", desk.folder / "proof_benchmarks.parquet"
        proof.write_live(features, benchmarks)
        trials["proof"] = run("validation rows", LiveData(features, benchmarks))
        if trials["proof"] is not None:
            agreement = _agreement(desk, proof)
            _judge(agreement, problems, notes)
    if live is None:
        notes.append("no live data here: tried on validation rows only")
    else:
        trials["live"] = run("live data", live)
    own = {"agreement": agreement, "problems": tuple(problems), "notes": tuple(notes), **trials}
    return Verification(**{**vars(found), **own})


def _agreement(desk: Desk, proof: Proof) -> Agreement:
    table = pq.read_table(desk.predictions).to_pandas()
    given = table["prediction"].reindex(proof.ids).to_numpy(np.float64)
    gaps = np.abs(given - proof.expected)
    made = dict(proof.facts.get("libraries") or {})
    pins = desk.environment.container.pins
    other = [f"{name} {made[name]} here, {pins[name]} there" for name in made if pins.get(name) != made[name]]
    return Agreement(len(gaps), float(gaps.max()), int((gaps > TOLERANCE).sum()), tuple(other))


def _judge(agreement: Agreement, problems: list[str], notes: list[str]) -> None:
    """Equal, different by rounding of other library versions, or another model."""
    if agreement.equal:
        return
    size = f"{agreement.differing} of {agreement.rows} predictions differ, by {agreement.largest:.2g} at most"
    because = "; ".join(agreement.libraries)
    if agreement.largest <= LARGEST_SHIFT and because:
        notes.append(f"{size}: other library versions ({because})")
    else:
        problems.append(f"not the model that the pipeline made: {size}" + (f" ({because})" if because else ""))


def own_versions(container: Container, libraries: Sequence[str]) -> dict[str, str]:
    """Versions of the container's ``libraries`` in our own environment, where they are here under their names."""
    found = {}
    for name in ("numpy", "scipy", *libraries):
        for package in (name, f"{name}-cpu"):
            try:
                found[name] = version(package)
                break
            except PackageNotFoundError:
                continue
    return {name: number for name, number in found.items() if name in container.pins}


def verification_lines(found: Verification) -> Iterator[str]:
    """The verdict first, then numbers beside their limits, then what is worth knowing."""
    verdict = "passes" if found.ok else f"fails: {len(found.problems)} problem{'s'[: len(found.problems) > 1]}"
    yield f"{found.pickle}: {verdict} in Numerai's container for Python {found.python}"
    yield from (f"  problem: {each}" for each in found.problems)
    for name, trial in (("validation rows", found.proof), ("live data", found.live)):
        if trial is not None:
            yield f"  {name}: {_trial(trial)}"
    if found.agreement is not None:
        same = found.agreement
        yield (
            f"  predictions equal the pipeline's on {same.rows:,} rows (largest difference {same.largest:.1g})"
            if same.equal
            else f"  predictions differ from the pipeline's on {same.differing:,} of {same.rows:,} rows, "
            f"by {same.largest:.2g} at most"
        )
    yield f"  size {size_text(found.size_bytes)}; no network ({found.offline_by}), none of our code"
    yield from (f"  note: {each}" for each in found.notes)


def _trial(trial: Trial) -> str:
    alone = "" if trial.one_argument is None else f"; without benchmark models: {trial.one_argument}"
    return (
        f"{trial.rows:,} rows, {trial.eras} era{'s'[: trial.eras > 1]}; a live round takes {trial.live_seconds:.1f} s "
        f"of {SECONDS:.0f} s on one core, {trial.peak_bytes / 1e9:.2f} of {MEMORY_BYTES / 1e9:.0f} GB{alone}"
    )
