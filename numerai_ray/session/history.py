"""History: every experiment under a folder, so that nothing is tried twice; those without a gain too.

Working out what came of one takes a hundredth of a second and more (:mod:`numerai_ray.session.judging`), so what was
worked out is kept beside them, as long as no file that it rests on changes (:mod:`numerai_ray.session.history_cache`).
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

from numerai_ray.errors import RequestError
from numerai_ray.experiment.lock import lock_holder
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.session.history_cache import HistoryCache
from numerai_ray.session.past import OUTCOME_OF, OUTCOMES, Outcome, PastExperiment, Tried

__all__ = ["OUTCOMES", "OUTCOME_OF", "PastExperiment", "Tried", "Wanted", "history_of", "past_experiment"]


@dataclass(frozen=True)
class Wanted:
    """What a search asks for; None and "" ask for nothing."""

    words: str = ""
    dimension: str | None = None
    target: str | None = None
    outcome: Outcome | None = None

    def fits(self, found: PastExperiment) -> bool:
        """Whether an experiment asks for what is looked for; what came of it is another question."""
        text = f"{found.experiment} {found.idea} {found.novelty} {' '.join(found.tags)}".casefold()
        return (
            all(word in text for word in self.words.casefold().split())
            and (self.dimension is None or any(self.dimension in each for each in found.dimensions))
            and (self.target is None or any(self.target in each for each in found.targets))
        )


def history_of(root: Path, wanted: Wanted | None = None) -> list[PastExperiment]:
    """Experiments in the folders of ``root``, by name; those that are ``wanted``.

    Raises:
        RequestError: there is no such folder.

    """
    if not root.is_dir():
        raise RequestError(f"{root}: no such folder; give the one that holds experiments, usually experiments")
    asked = wanted or Wanted()
    with HistoryCache(root).open() as cache:
        found = [each for name in cache.names if (each := _found(root, name, asked, cache)) is not None]
    return [each for each in found if asked.outcome in (None, each.outcome)]


def past_experiment(folder: Path) -> PastExperiment:
    """What one experiment asked and found, read from its plan and ledger."""
    from numerai_ray.session.judging import judged, read

    return _at_work(judged(read(folder)), folder)


def _found(root: Path, name: str, asked: Wanted, cache: HistoryCache) -> PastExperiment | None:
    """One that fits what is looked for; only of those is worked out what came of them."""
    folder = root / name
    kept = cache.find(name)
    if kept is not None:
        tried = tuple(Tried(**{**each, "values": tuple(each["values"])}) for each in kept["tried"])
        lists = {name: tuple(kept[name]) for name in ("dimensions", "targets", "tags")}
        told = PastExperiment(**{**kept, **lists, "experiment": str(folder), "tried": tried})
        return _at_work(told, folder) if asked.fits(told) else None
    from numerai_ray.session.judging import judged, read

    began_ns = time.time_ns()
    seen = read(folder)
    if not asked.fits(seen.told):
        return None
    told = judged(seen)
    if told.problem is None:  # a problem may come from anything that is not there
        cache.keep(name, told.as_json(), seen.rests_on, began_ns)
    return _at_work(told, folder)


def _at_work(told: PastExperiment, folder: Path) -> PastExperiment:
    running = told.problem is None and lock_holder(ExperimentPaths(folder).lock) is not None
    return replace(told, state="running") if running else told
