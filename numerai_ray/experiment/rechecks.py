"""Rechecks: scores of eras that came after the last decision, kept beside the ledger and never in it.

``rechecks.jsonl`` has a line a recheck, each with the eras that were new then. Lines with the same ``decision`` are one
record: the same configurations, trained on the same eras. A search that went on since begins a new one, and the old
one stays in the file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from numerai_ray.errors import DataError
from numerai_ray.experiment.ledger import append_line, whole_lines
from numerai_ray.experiment.score_values import per_era_scores
from numerai_ray.metrics.scoring import EraScores
from numerai_ray.system.json_text import parse_json

_STRICT = ConfigDict(extra="forbid", strict=True)
RecheckedRole = Literal["winner", "base", "baseline"]
ROLES: tuple[RecheckedRole, ...] = ("winner", "base", "baseline")


@with_config(_STRICT)
@dataclass(frozen=True)
class RecheckedVariant:
    """One configuration on new eras: ``per_era`` as in results files, how many fits were trained and how many read.

    ``models_kept`` says that nothing was trained because its models were kept by an earlier recheck.
    """

    roles: tuple[RecheckedRole, ...]
    fingerprint: str
    per_era: Mapping[str, Sequence[Any]]
    fits_new: int = 0
    fits_stored: int = 0
    models_kept: int = 0


@with_config(_STRICT)
@dataclass(frozen=True)
class Recheck:
    """One line. ``decision`` tells records apart; ``last_era`` is the last one that the search saw.

    ``stage`` is the one whose file, feature set and parameters are used, ``train_eras`` first, last and number of
    those trained on, ``data`` the fingerprint of the file that the ``eras`` were read from. ``drift`` is what was
    unusual in the newest data when results had fallen.
    """

    decision: str
    made: str
    stage: str
    last_era: int
    train_eras: tuple[int, int, int]
    data: str
    eras: tuple[int, ...]
    variants: tuple[RecheckedVariant, ...]
    drift: tuple[str, ...] = ()


_RECHECK = TypeAdapter(Recheck)


def read_rechecks(path: Path) -> list[Recheck]:
    """All rechecks, oldest first.

    Raises:
        DataError: a line is damaged.

    """
    found = []
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            parse_json(line)
            found.append(_RECHECK.validate_json(line, strict=True))
        except (ValueError, ValidationError) as error:
            first = str(error).splitlines()[0]
            raise DataError(
                f"{path}, line {number}: damaged ({first}); restore the file, or remove this line: its eras are then "
                f"scored again by `numerai-ray recheck`"
            ) from error
    return found


def append_recheck(path: Path, recheck: Recheck) -> None:
    """Add one; raises :class:`~numerai_ray.errors.EnvironmentFault` where that cannot be written."""
    append_line(path, recheck)


def latest_decision(rechecks: Sequence[Recheck]) -> list[Recheck]:
    """Those of the newest decision, oldest first."""
    return [each for each in rechecks if each.decision == rechecks[-1].decision] if rechecks else []


def live_scores(rechecks: Sequence[Recheck], role: RecheckedRole) -> tuple[tuple[int, ...], EraScores] | None:
    """Eras, ascending, and scores of a role in rechecks of one decision; None where it has none."""
    parts: list[EraScores] = []
    found: list[int] = []
    for each in rechecks:
        for variant in each.variants:
            if role in variant.roles:
                eras, scores = per_era_scores(variant.per_era)
                parts.append(scores)
                found += eras
    if not found:
        return None
    # An era that was scored twice counts as it was scored last.
    last = {era: place for place, era in enumerate(found)}
    ordered = sorted(last)
    return tuple(ordered), EraScores.joined(parts).at([last[era] for era in ordered])
