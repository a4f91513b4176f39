"""What a check found, in lines to print."""

from collections.abc import Iterator

from numerai_ray.data.download.fetch import size_text
from numerai_ray.submission.containers import MEMORY_BYTES, SECONDS
from numerai_ray.submission.trial_run import Trial
from numerai_ray.submission.verify import Verification


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
