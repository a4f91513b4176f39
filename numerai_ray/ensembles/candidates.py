"""Candidates: stored out-of-fold predictions, those that can stand in one ensemble together.

Members of an ensemble predict the same rows of one data file and are scored against one target and benchmark. Of all
that :mod:`numerai_ray.ensembles.sources` finds, those are taken that share these and have the most eras in common; the
rest is left out with the reason.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from numerai_ray.config import Config
from numerai_ray.config.validation import canonical_json
from numerai_ray.errors import RequestError
from numerai_ray.experiment.paths import ExperimentPaths

LONGEST_NAME = 110


@dataclass(frozen=True, eq=False)
class Candidate:
    """Out-of-fold predictions of one model: ``name`` is a member's in a config, ``eras`` ascend and have a score.

    Of predictions of others (``foreign``) nothing else is known: ``config`` says what they were scored on alone, and a
    blend with them cannot be trained or exported.
    """

    name: str
    folder: Path
    variant: str
    stage: str
    predictions: Path
    config: Config
    eras: tuple[int, ...]
    foreign: bool = False

    @property
    def id_col(self) -> str:
        """Column of the ids in its predictions."""
        return "id" if self.foreign else self.config.data.id_col

    @property
    def era_col(self) -> str:
        """Column of the eras."""
        return "era" if self.foreign else self.config.data.era_col

    @property
    def member(self) -> dict[str, Any]:
        """What a member of an ensemble says of itself: its data and model, its own ensemble and post."""
        values = self.config.to_json()
        data = {key: values["data"][key] for key in ("feature_set", "target", "missing") if key in values["data"]}
        model = {key: value for key, value in values["model"].items() if value is not None}
        own: dict[str, Any] = {key: values[key] for key in ("ensemble", "post") if key in values}
        if self.config.ensemble is None and len(self.config.data.targets) > 1:
            # Targets of a model are mixed by the scale of what it is in: ranks, where it stands alone.
            own["ensemble"] = {"members": {"targets": {}}, "scale": "rank"}
        return {"data": data, "model": model, **own}

    @property
    def needs(self) -> tuple[Any, ...]:
        """What it reads of live data; of foreign predictions nothing is known."""
        if self.foreign:
            return ()
        read = [(each.data.feature_sets, each.data.missing) for each in self.config.trained().values()]
        neutral = [post.neutralize.names for post in self.config.posts().values() if post.neutralize]
        return (*dict.fromkeys(read), *dict.fromkeys(neutral))


@dataclass(frozen=True)
class LeftOut:
    """A variant that is no candidate, and why."""

    name: str
    why: str


@dataclass(frozen=True, eq=False)
class Gathered:
    """Candidates with one data version, score target and benchmark, and eras in common."""

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    eras: tuple[int, ...]

    @property
    def kinds(self) -> Any:
        """(k,) integers: equal where candidates read the same of live data, -1 where that is not known."""
        known: dict[tuple[Any, ...], int] = {(): -1}
        return np.array([known.setdefault(each.needs, len(known) - 1) for each in self.candidates], np.int64)


def experiment_folders(given: Sequence[Path]) -> list[Path]:
    """Every experiment among the folders ``given``: one itself, or the experiments in it.

    Raises:
        RequestError: a folder holds none.

    """
    found: list[Path] = []
    for folder in given:
        own = [folder] if ExperimentPaths(folder).plan.is_file() else []
        inside = own or sorted(plan.parent for plan in folder.glob("*/experiment.yaml"))
        if not inside:
            rule = "give folders of experiments, or the folder above them"
            raise RequestError(f"{folder}: no experiment.yaml there, nor in a folder of it; {rule}")
        found += inside
    return list(dict.fromkeys(found))


def gather(found: Iterable[Candidate | LeftOut]) -> Gathered:
    """The candidates among all that was found.

    Raises:
        RequestError: fewer than two are left; says why the others were left out.

    """
    candidates: list[Candidate] = []
    left_out: list[LeftOut] = []
    for each in found:
        if isinstance(each, Candidate):
            candidates.append(each)
        else:
            left_out.append(each)
    kept = _latest_of_each(candidates, left_out)
    kept = _of_one_score(kept, left_out)
    kept, eras = _of_common_eras(kept, left_out)
    if len(kept) < 2:
        reasons = Counter(each.why for each in left_out)
        told = "".join(f"\n  - {count} left out: {why}" for why, count in reasons.most_common(8))
        raise RequestError(f"an ensemble needs two candidates or more, but there are {len(kept)}{told}")
    return Gathered(tuple(_named_apart(kept)), tuple(left_out), eras)


def _latest_of_each(candidates: Sequence[Candidate], left_out: list[LeftOut]) -> list[Candidate]:
    """What would be trained alike once, its latest run: a final is the scout's winner on more eras."""
    latest: dict[str, Candidate] = {}
    for each in candidates:
        if each.foreign:
            latest[each.name] = each
            continue
        same = canonical_json(
            {**each.member, "score": each.config.score.model_dump(), "version": each.config.data.version}
        )
        if same in latest:
            left_out.append(LeftOut(latest[same].name, f"the same model ran again, as {each.name}"))
        latest[same] = each
    return list(latest.values())


def _of_one_score(candidates: Sequence[Candidate], left_out: list[LeftOut]) -> list[Candidate]:
    """The largest group that shares data version, file columns, score target and benchmark."""
    groups: dict[tuple[Any, ...], list[Candidate]] = {}
    for each in candidates:
        data, score = each.config.data, each.config.score
        same = (data.version, data.path, data.benchmark_path, data.era_col, data.id_col, score.target, score.benchmark)
        groups.setdefault(same, []).append(each)
    kept = max(groups.values(), key=len, default=[])
    for group in groups.values():
        if group is not kept:
            score, version = group[0].config.score, group[0].config.data.version
            why = f"on other data or another score ({version}, {score.target} beyond {score.benchmark})"
            left_out.extend(LeftOut(each.name, why) for each in group)
    return kept


def _of_common_eras(
    candidates: Sequence[Candidate], left_out: list[LeftOut]
) -> tuple[list[Candidate], tuple[int, ...]]:
    """Those that predict all of some candidate's eras: as many as possible of both."""
    best: list[Candidate] = []
    common: tuple[int, ...] = ()
    for eras in dict.fromkeys(each.eras for each in candidates):
        wanted = set(eras)
        members = [each for each in candidates if wanted <= set(each.eras)]
        if len(members) * len(eras) > len(best) * len(common):
            best, common = members, eras
    why = f"does not predict all of the {len(common)} eras in common"
    left_out.extend(LeftOut(each.name, why) for each in candidates if each not in best)
    return best, common


def _named_apart(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Names as a config takes them, each once."""
    used: dict[str, int] = {}
    named = []
    for each in candidates:
        plain = re.sub(r"[^A-Za-z0-9._=+-]", "-", each.name).lstrip("._=+-")[:LONGEST_NAME] or "member"
        used[plain] = used.get(plain, 0) + 1
        named.append(replace(each, name=plain if used[plain] == 1 else f"{plain}-{used[plain]}"))
    return named
