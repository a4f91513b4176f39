"""Deployment: a blend as a config that ``train`` and ``export`` take, and the part of one that a container can run."""

from collections.abc import Mapping, Sequence
from typing import Any

from numerai_ray.config import Config, validate
from numerai_ray.ensembles.blends import Blend
from numerai_ray.ensembles.candidates import Candidate


def deployable(blend: Blend, candidates: Sequence[Candidate]) -> Blend | None:
    """The blend of those members that can be trained, None where there are none: of foreign ones there is no model."""
    own = [member for member in blend.members if not candidates[member].foreign]
    if len(own) == len(blend.members):
        return blend
    return blend.only(own) if own else None


def ensemble_config(blend: Blend, candidates: Sequence[Candidate], source: str) -> Config:
    """The blend as a config: each member its data and model, on the data and folds of the first; none is foreign.

    Raises:
        ConfigError: a member's config does not stand in another one's; names ``source``.

    """
    first = candidates[blend.members[0]].config
    data = first.data.model_dump(mode="json")
    members = {candidates[member].name: candidates[member].member for member in blend.members}
    weights = {candidates[m].name: weight for m, weight in zip(blend.members, blend.weights, strict=True)}
    values: dict[str, Any] = {
        "data": {key: value for key, value in data.items() if value is not None},
        "cv": {key: value for key, value in first.cv.model_dump(mode="json").items() if value is not None},
        "ensemble": {"members": members, "weights": weights, "scale": "gauss"},
        "score": first.score.model_dump(mode="json"),
    }
    if blend.post.neutral:
        values["post"] = {"neutralize": {"to": "benchmark", "proportion": blend.post.neutral}}
    elif blend.post.share:
        values["post"] = {"blend": {"benchmark": blend.post.share}}
    return validate(Config, values, source)


def with_members(config: Config, names: Sequence[str], source: str) -> Config:
    """An ensemble's config with some of its members, their weights in proportion to what they were.

    Raises:
        ConfigError: no member is left.

    """
    values = config.to_json()
    ensemble: Mapping[str, Any] = values["ensemble"]
    kept = {name: ensemble["members"][name] for name in names}
    weights = {name: ensemble["weights"][name] for name in names}
    values["ensemble"] = {**ensemble, "members": kept, "weights": weights}
    return validate(Config, values, source)
