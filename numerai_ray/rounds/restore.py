"""Files of decided variants: which are missing or damaged, and making them again from stored fits.

The ledger holds what was decided, the fit store what was trained: what lies between, results and predictions, follows
from the two. It is made again where that brings the ledger's own scores, and left alone where it does not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from numerai_ray.config import Config, parse_yaml, read_text, validate
from numerai_ray.errors import FitError, RequestError
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.variant_files import LEFT_OUT, lost_files
from numerai_ray.experiment.variant_output import write_variant
from numerai_ray.rounds.candidates import identity
from numerai_ray.rounds.recorder import Recorder, round_alike
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.outcome import VariantOutcome
from numerai_ray.training.spec import VariantPlan
from numerai_ray.training.store.fits import FitStore, stored_fit


def restore_files(
    paths: ExperimentPaths, history: Sequence[RoundRecord], catalog: Catalog, store: FitStore, cores: int
) -> list[str]:
    """Make again what is lost of decided variants, from stored fits alone; a line on each file, made or not."""
    lost = lost_files(paths, history)
    if not lost:
        return []
    runner = InProcessRunner(FitStore(store.root), cores)
    said: dict[str, str] = {}
    for number in {each.record.number for each in lost}:
        own = [each for each in lost if each.record.number == number]
        restoring = _Restoring(paths, catalog, runner, own[0].record)
        said |= restoring.restored({each.variant.id: each.variant for each in own})
    return [f"{each}; {said[each.variant.id]}" for each in lost]


@dataclass(frozen=True)
class _Restoring:
    """Of one round: what its variants' files tell of each other is made of all of them."""

    paths: ExperimentPaths
    catalog: Catalog
    runner: InProcessRunner
    record: RoundRecord

    def restored(self, lost: Mapping[str, VariantRecord]) -> dict[str, str]:
        """Make the files of ``lost`` again; by id, whether they are there now, in words."""
        scored = {each.id: each for each in self.record.variants if each.metrics and each.role != "benchmark"}
        wanted = [scored[trial] for trial in lost if trial in scored]
        # A benchmark is scored on the eras that any variant of its round predicts.
        asked = wanted or list(scored.values())[:1]
        said = {each.id: self._outcome(each) for each in asked}
        outcomes = {trial: each for trial, each in said.items() if isinstance(each, VariantOutcome)}
        alike = round_alike(outcomes, [trial for trial in scored if trial not in outcomes], self.paths, self.runner)
        for trial in outcomes.keys() & lost.keys():
            results, predictions = self.paths.results(trial), self.paths.predictions(trial)
            own = {other: alike[trial][other] for other in scored if other in alike.get(trial, {})}
            write_variant(outcomes[trial], self.runner.columns(outcomes[trial].plan), results, predictions, own)
        first = next(iter(outcomes.values()), None)
        if first is not None and lost.keys() - scored.keys():
            Recorder(self.paths, self.runner, {}, self.record.stage).benchmark(first.plan.config, outcomes)
        why = next((each for each in said.values() if isinstance(each, str)), "")
        return {trial: _said(said.get(trial, first or why)) for trial in lost}

    def _outcome(self, of: VariantRecord) -> VariantOutcome | str:
        """What the variant's stored fits come to, or why they do not serve."""
        try:
            plan = self._plan(of)
            if not all(stored_fit(self.runner.store, spec) for spec in plan.fits):
                return "its fits are not stored"
            outcome = self.runner.run([plan], lambda _: None)[plan.id]
        except (RequestError, FitError, OSError) as error:
            return (str(error).splitlines() or [""])[0]
        same = repr(outcome.metrics) == repr(of.metrics)
        return outcome if same else "its stored fits bring other scores than the ledger's"

    def _plan(self, of: VariantRecord) -> VariantPlan:
        path, stage = self.paths.config(of.id), self.record.stage
        config = validate(Config, parse_yaml(read_text(path), str(path)), str(path))
        if identity(config, stage) != of.fingerprint:
            raise RequestError(f"{path}: is not the config that ran")
        return self.catalog.plan(of.id, of.id, config, kept=stage == "holdout")


def _said(came: VariantOutcome | str) -> str:
    return f"{LEFT_OUT}: {came}" if isinstance(came, str) else "made again from stored fits"
