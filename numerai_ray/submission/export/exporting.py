"""From a choice to the files of a submission: refit, pack, prove, describe. All of them appear, or none."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from numerai_ray.config import Config
from numerai_ray.errors import RequestError
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.submission.container.containers import Container
from numerai_ray.submission.container.environment import Environment, environment_for
from numerai_ray.submission.container.proof import EXPECTED, Proof, proof_table, write_proof
from numerai_ray.submission.container.trial_run import LiveData
from numerai_ray.submission.container.verify import Verification, own_versions, verification_lines, verify
from numerai_ray.submission.export.assembly import Assembly, expected_prediction, plan_refit, recipe_of
from numerai_ray.submission.export.card import card_of, card_text
from numerai_ray.submission.export.choice import Choice
from numerai_ray.submission.export.imports import imported_to_predict
from numerai_ray.submission.export.packing import Recipe, needed, pack
from numerai_ray.submission.export.refit import Refitted, RunJobs, refits_of
from numerai_ray.submission.files import SubmissionFiles, sha256
from numerai_ray.system.files import whole_file, write_text
from numerai_ray.system.json_text import write_json
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.store.fits import FitStore
from numerai_ray.training.store.models import ModelStore

OnStep = Callable[[str], None]


@dataclass(frozen=True)
class ExportOrder:
    """What to export, for which container, to which file, tried on which live data."""

    choice: Choice
    paths: ExperimentPaths
    container: Container
    out: Path
    live: LiveData | None
    store: FitStore


def export(order: ExportOrder, catalog: Catalog, run_jobs: RunJobs, on_step: OnStep) -> Verification:
    """Write the pickle, its proof and its card; returns what the proof showed.

    Raises:
        RequestError: the container cannot run the model (with numbers), the Python is missing, the data is not there.
        FitError: training failed.

    """
    assembly = plan_refit(order.choice.config, catalog, order.store)
    for note in catalog.device_notes:
        on_step(note)
    # Before hours of training: the container must be able to run it, and be here.
    order.container.check(needed(assembly.types()))
    _check_own_sources(assembly, order.container)
    environment = environment_for(order.container, on_step)
    refits = refits_of(assembly.jobs, ModelStore(order.store.root), run_jobs, on_step)
    with tempfile.TemporaryDirectory(prefix="numerai-ray-") as folder:
        made = SubmissionFiles(Path(folder) / order.out.name)
        on_step(f"packing for Python {order.container.python}, and trying it as Numerai will: offline, on one core")
        found = replace(_tried(order, assembly, refits, environment, made), pickle=str(order.out))
        if not found.ok:
            problems = "\n  - ".join(found.problems)
            offer = _what_fits(order, catalog, environment, run_jobs, on_step)
            raise RequestError(
                f"Numerai's container cannot run this model, nothing was written:\n  - {problems}{offer}"
            )
        card = card_of(order.choice, order.paths, assembly, refits, found)
        _put(made, SubmissionFiles(order.out))
        write_json(SubmissionFiles(order.out).card, card)
        write_text(SubmissionFiles(order.out).card_text, card_text(card))
    return found


def _check_own_sources(assembly: Assembly, container: Container) -> None:
    """Refuse models of the user's own whose predictions need what the container does not have."""
    for spec in assembly.plan.fits:
        text = "" if spec.asked.source is None else spec.asked.source.text or ""
        lacking = [each for each in imported_to_predict(text) if each not in container.pins]
        if lacking:
            raise RequestError(
                f"{spec.config.model.type}: imports {lacking[0]}, which Numerai's container for Python "
                f"{container.python} does not have; it has {', '.join(container.pins)}; predict without it to export: "
                f"what training alone needs may be imported inside fit"
            )


def _tried(
    order: ExportOrder,
    assembly: Assembly,
    refits: list[Refitted],
    environment: Environment,
    made: SubmissionFiles,
) -> Verification:
    """The pickle and its proof, written, and what trying them shows."""
    recipe = recipe_of(assembly, refits)
    pack(recipe, environment, made.pickle)
    write_proof(made.proof, _proof(assembly, refits, recipe, made.pickle, environment))
    return verify(made.pickle, environment, order.live)


def _what_fits(
    order: ExportOrder, catalog: Catalog, environment: Environment, run_jobs: RunJobs, on_step: OnStep
) -> str:
    """The best part of an ensemble that the container runs, tried there; "" for anything else.

    Parts with fewer and fewer members are tried by halving. Where a part without models of the user's own is better
    than what that found, these are tried, the best first: a model of unknown size may be all that is too much.
    """
    choice, store = order.choice, ModelStore(order.store.root)

    def tried(name: str, config: Config) -> Verification:
        on_step(f"trying the ensemble's {name} members")
        assembly = plan_refit(config, catalog, order.store)
        refits = refits_of(assembly.jobs, store, run_jobs, on_step)
        with tempfile.TemporaryDirectory(prefix="numerai-ray-") as folder:
            return _tried(order, assembly, refits, environment, SubmissionFiles(Path(folder) / order.out.name))

    names = list(choice.parts)
    fits: tuple[str, Verification] | None = None
    low, high = 0, len(names)
    while low < high:
        middle = (low + high) // 2
        found = tried(names[middle], choice.parts[names[middle]])
        if found.ok:
            fits, high = (names[middle], found), middle
        else:
            low = middle + 1
    for name, config in choice.lighter.items():
        if fits is not None and not choice.part_scores[name] > choice.part_scores[fits[0]]:
            break
        if (found := tried(name, config)).ok:
            fits = (name, found)
            break
    if not names and not choice.lighter:
        return ""
    if fits is None:
        return "\nNor can it run fewer of the ensemble's members; train smaller models"
    name, found = fits
    told = "; ".join(line.strip() for line in verification_lines(found) if " rows, " in line)
    return f"\nThe best part of the ensemble that it can run is {name} ({told}): export again with --variant {name}"


def _proof(assembly: Assembly, refits: list[Refitted], recipe: Recipe, pickle: Path, environment: Environment) -> Proof:
    table = proof_table(assembly.proof, recipe.features, recipe.benchmarks)
    table = table.append_column(EXPECTED, pa.array(expected_prediction(assembly, refits)))
    facts = {
        "pickle_sha256": sha256(pickle),
        "libraries": own_versions(environment.container, recipe.libraries()),
        "data": assembly.plan.index.fingerprint,
        "fingerprint": assembly.config.fingerprint(),
    }
    return Proof(table, recipe.features, recipe.benchmarks, facts)


def _put(made: SubmissionFiles, out: SubmissionFiles) -> None:
    for source, target in ((made.proof, out.proof), (made.pickle, out.pickle)):
        with whole_file(target) as partial:
            shutil.copyfile(source, partial)
