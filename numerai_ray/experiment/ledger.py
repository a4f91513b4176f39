"""Ledger: ``rounds.jsonl``, one decided round a line, only ever added to."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from numerai_ray.config.plan_schema import ALL_STAGES
from numerai_ray.data.eras import TODAY, Hash, Remembered
from numerai_ray.errors import DataError, EnvironmentFault
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.system.files import open_own
from numerai_ray.system.json_text import parse_json, to_json

_ROUND = TypeAdapter(RoundRecord)
# Of a record's origin: the last era that the experiment keeps to, whatever was downloaded since.
LAST_ERA = "last_era"
# Of a record's origin: how its eras looked, and what made the digests that say so (SHA-256 where it does not say).
ERAS, DIGESTS = "the eras", "digests"
# Of a variant's metrics: parts that it need not have.
_ABSENT = ("mmc", "judged")


def read_ledger(path: Path) -> list[RoundRecord]:
    """All decided rounds, oldest first; a last line cut short by a crash does not count.

    Raises:
        DataError: a line in the middle is damaged, or the file cannot be read.

    """
    rounds = []
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            rounds.append(_round(number, line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path}, line {number}: damaged ({_why(error)}); restore the file, or remove this line and those "
                f"after it to redo their rounds (stored fits are kept)"
            ) from error
    return rounds


def whole_lines(path: Path) -> list[bytes]:
    """Lines of a file that :func:`append_line` writes; none where it is missing.

    Raises:
        DataError: it cannot be read, or is no file.

    """
    if not path.exists():
        return []
    if not path.is_file():
        raise DataError(f"{path}: must be a file, but is none; move it away and restore the file")
    try:
        return path.read_bytes().split(b"\n")[:-1]  # after the last newline: nothing, or a line cut short
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its rights") from error


@lru_cache(maxsize=512)
def _round(number: int, line: bytes) -> RoundRecord:
    """A line's record, kept: whoever follows a run reads its decided rounds again after every one, and none changes."""
    record = round_from_json(parse_json(line))
    if record.number != number:
        raise ValueError(f"it holds round {record.number}, but must hold round {number}")
    if record.stage not in ALL_STAGES:
        raise ValueError(f"no stage {record.stage!r:.60}")
    return record


def _why(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}, but is {first['input']!r:.60}"


def append_ledger(path: Path, record: RoundRecord) -> None:
    """Add one decided round, durably, after dropping a line that a crash cut short."""
    append_line(path, record)


def append_line(path: Path, record: Any) -> None:
    """Add a record to a file of one JSON value a line, durably, after dropping a line that a crash cut short.

    Raises:
        EnvironmentFault: the file cannot be written.

    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_own(path, "ab+") as handle:
            handle.seek(0)
            kept = handle.read().rfind(b"\n") + 1
            handle.truncate(kept)
            handle.write(to_json(record).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
    except OSError as error:
        why = error.strerror or str(error)
        raise EnvironmentFault(f"{path}: cannot be written: {why}; free some space, then run again") from error


def round_from_json(value: Any) -> RoundRecord:
    """Inverse of :func:`to_json` for a :class:`RoundRecord`; raises :class:`ValueError` where a type is another."""
    for variant in value["variants"]:
        evidence = variant.get("evidence")
        # Of what may be missing, None says that; elsewhere it is an unknown number.
        told = {key: each for key, each in (variant["metrics"] or {}).items() if each is not None or key not in _ABSENT}
        variant["metrics"] = _with_nan(told) if told else variant["metrics"]
        if evidence:
            variant["evidence"] = {name: each and _with_nan(each) for name, each in evidence.items()}
    found: RoundRecord = _ROUND.validate_json(json.dumps(value), strict=True)
    return found


def _with_nan(value: Any) -> Any:
    """JSON has no NaN: null is unknown."""
    if isinstance(value, dict):
        return {key: _with_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return math.nan if value is None else value


def chosen_interpretation(history: Sequence[RoundRecord]) -> str:
    """Name of the interpretation that became the base; "" without one."""
    return next((record.choice for record in history if record.choice), "")


def last_era_of(origins: Sequence[Mapping[str, str]]) -> int | None:
    """The last era that an experiment keeps to; None before the first round, and where that was never written down."""
    return next((int(found) for origin in origins if (found := origin.get(LAST_ERA, "")).isdecimal()), None)


def remembered_of(origins: Sequence[Mapping[str, str]]) -> Remembered:
    """How an experiment knows its eras: by what made their digests when it first wrote down how they look.

    Raises:
        EnvironmentFault: this version does not have that.

    """
    began = next((origin.get(DIGESTS, "sha256") for origin in origins if ERAS in origin), TODAY)
    hashed = next((each for each in get_args(Hash) if each == began), None)
    if hashed is None:
        raise EnvironmentFault(
            f"this experiment began with digests by {began!r}, which this version does not have; go on with the "
            f"version that began it, or copy the plan into a new experiment's folder"
        )
    return Remembered(last_era_of(origins), hashed)


def known_by_fingerprint(history: Sequence[RoundRecord]) -> dict[str, VariantRecord]:
    """Every config that ran well or was stopped as hopeless, by fingerprint, first run first: nothing is run twice."""
    known: dict[str, VariantRecord] = {}
    for record in history:
        for variant in record.variants:
            if variant.metrics is not None or variant.pruned:
                known.setdefault(variant.fingerprint, variant)
    return known
