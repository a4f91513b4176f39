"""Follow: models of the account, round by round, against what their experiments promised."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from numerai_ray.errors import RequestError, nearest
from numerai_ray.metrics.sequential import Live, Promise, eras_needed, expected_range, judge_live, weekly
from numerai_ray.metrics.significance import Series
from numerai_ray.session.recheck import drift_findings
from numerai_ray.submission.numerai.live import LiveRound, rounds_of
from numerai_ray.submission.numerai.record import UploadRecord, newest_of, uploads_below

# Of the two that are promised the first decides a model's word: it is what the search was after.
SCORES = ("bmc", "corr")


class LiveApi(Protocol):
    """What is asked of Numerai; any key that may read will do."""

    def models(self) -> dict[str, str]: ...

    def round_performances(self, model_id: str) -> list[dict[str, object]]: ...


@dataclass(frozen=True, eq=False)
class FollowedScore:
    """A score since the upload: resolved rounds by week, against the promise.

    ``expected`` is where nine of ten rounds lie while things go on as promised; ``needed`` after how many weeks a
    score that fell to nothing would be told, None where ten years would not do.
    """

    promise: Promise
    live: Live
    weeks: Series
    expected: tuple[float, float]
    needed: int | None


@dataclass(frozen=True, eq=False)
class Followed:
    """A model: its ``rounds`` all, ``since`` its upload those that its pickle submitted for."""

    name: str
    model_id: str
    upload: UploadRecord | None
    rounds: tuple[LiveRound, ...]
    since: tuple[LiveRound, ...]
    scores: Mapping[str, FollowedScore]
    note: str = ""

    @property
    def word(self) -> str:
        """*as promised*, *too early*, *worse than promised*; "no promise known" where nothing was uploaded here."""
        decisive = next((self.scores[name] for name in SCORES if name in self.scores), None)
        return "no promise known" if decisive is None else decisive.live.word

    @property
    def resolved(self) -> tuple[LiveRound, ...]:
        return tuple(each for each in self.rounds if each.resolved)

    @property
    def in_progress(self) -> tuple[LiveRound, ...]:
        return tuple(each for each in self.rounds if not each.resolved)

    def mean(self, score: str) -> float:
        """Plain mean of the resolved rounds since the upload, or of all without one."""
        values = [getattr(each, score) for each in self.since if each.resolved]
        known = [value for value in values if not math.isnan(value)]
        return math.fsum(known) / len(known) if known else math.nan

    @property
    def paid(self) -> float:
        """NMR settled in all resolved rounds."""
        return math.fsum(each.payout for each in self.resolved if not math.isnan(each.payout))

    @property
    def pending(self) -> float:
        """NMR that the rounds in progress would bring as they stand."""
        return math.fsum(each.payout for each in self.in_progress if not math.isnan(each.payout))

    @property
    def at_risk(self) -> float:
        """NMR staked in all rounds in progress."""
        return math.fsum(each.at_risk for each in self.in_progress if not math.isnan(each.at_risk))


def follow(api: LiveApi, names: Sequence[str], uploads: Path) -> list[Followed]:
    """Each named model, or without names every one of the account; those that this tool uploaded first.

    Args:
        api: Numerai.
        names: names or ids of models.
        uploads: the folder below which upload records lie.

    Raises:
        RequestError: there is no key, or no such model in the account.
        EnvironmentFault: Numerai cannot be reached.

    """
    account = api.models()
    records = newest_of(uploads_below(uploads))
    chosen = [_named(each, account, records) for each in names] or list(account.items())
    chosen.sort(key=lambda each: each[1] not in records)
    return [followed(name, own, rounds_of(api.round_performances(own)), records.get(own)) for name, own in chosen]


def data_findings(model: Followed, root: Path | None) -> tuple[str, ...]:
    """What is unusual in the data that a model runs on, where its version is below the data root."""
    version = "" if model.upload is None else model.upload.data_version
    if root is None or not version:
        return ()
    return drift_findings(root, version, model.upload.target or None if model.upload is not None else None)


def _named(asked: str, account: Mapping[str, str], records: Mapping[str, UploadRecord]) -> tuple[str, str]:
    for name, own in [*account.items(), *((each.model, key) for key, each in records.items())]:
        if asked in (name, own) or asked.lower() == name.lower():
            return name, own
    raise RequestError(f"MODEL: no model {asked!r} in this account{nearest(asked, list(account))}")


def followed(name: str, own: str, rounds: tuple[LiveRound, ...], upload: UploadRecord | None) -> Followed:
    """A model's rounds judged against its upload's promise; pure."""
    began = "" if upload is None else upload.uploaded[:10]
    since = tuple(each for each in rounds if not began or (each.opened and each.opened.isoformat() >= began))
    scores = {}
    for score in SCORES if upload is not None else ():
        promise = upload.promises.get(score) if upload is not None else None
        if promise is not None:
            scores[score] = _judged(since, score, promise)
    return Followed(name, own, upload, rounds, since, scores, _target_note(since, upload))


def _judged(rounds: Sequence[LiveRound], score: str, promise: Promise) -> FollowedScore:
    done = [each for each in rounds if each.resolved and each.week is not None]
    weeks = weekly([each.week or 0 for each in done], np.array([getattr(each, score) for each in done], np.float64))
    return FollowedScore(promise, judge_live(weeks, promise), weeks, expected_range(promise), eras_needed(promise))


def _target_note(rounds: Sequence[LiveRound], upload: UploadRecord | None) -> str:
    """Rounds may be scored on another target than the experiment was: then the two are no like."""
    if upload is None or not upload.target:
        return ""
    ours = _plain(upload.target)
    theirs = sorted({each.target for each in rounds if each.target and _plain(each.target) != ours})
    if not theirs:
        return ""
    return f"rounds are scored on {', '.join(theirs)}, the promise on {upload.target}: compare them with care"


def _plain(target: str) -> str:
    return target.lower().removeprefix("target_").replace("_", "")
