"""Fold coverage: whether folds find the labels and benchmarks that their fits learn from and their scores need.

Numerai's benchmarks begin at era 0158 and some targets lack eras, so early folds may have nothing to learn from. That
shows in the files, before a fit is trained.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from numerai_ray.config import SCORE_BENCHMARK, Config, CvConfig
from numerai_ray.era_coverage import EraCoverage, Eras
from numerai_ray.eras import Folds, era_label
from numerai_ray.errors import ConfigError


@dataclass(frozen=True)
class Lesson:
    """What a fit learns from: the eras it is shown, its target, and the benchmark that its target transform reads."""

    fold: int
    eras: tuple[int, ...]
    target: str
    benchmark: str | None


# What the fits of folds cut otherwise learn from; raises ConfigError where the eras cannot be cut so.
Refold = Callable[[CvConfig], Sequence[Lesson]]


def coverage_problems(
    config: Config, folds: Folds, lessons: Sequence[Lesson], coverage: EraCoverage, refold: Refold
) -> list[str]:
    """What is missing, each with what to do about it; empty where every fit can learn and something can be scored.

    Args:
        config: of the variant.
        folds: how its eras are cut.
        lessons: what its fits learn from.
        coverage: of its data file.
        refold: the lessons under another ``cv``, to name a remedy only where it is one.

    """
    lacking = [each for each in lessons if not _can_learn(each, coverage)]
    found = [*_unscored(config, folds, coverage)]
    if lacking:
        remedy = _remedy(config.cv, folds, lacking, coverage, refold)
        found = [f"{sentence}; {remedy}" for sentence in _untaught(lacking, coverage)] + found
    return found


def _untaught(lacking: Sequence[Lesson], coverage: EraCoverage) -> Iterator[str]:
    """Which folds have nothing to learn from, a sentence for each target and benchmark."""
    for target, benchmark in dict.fromkeys((each.target, each.benchmark) for each in lacking):
        own = [each for each in lacking if (each.target, each.benchmark) == (target, benchmark)]
        numbers = list(dict.fromkeys(each.fold for each in own))
        folds = f"fold {numbers[0]} trains" if len(numbers) == 1 else f"folds {', '.join(map(str, numbers))} train"
        shown = sorted({era for each in own for era in each.eras})
        what = target if benchmark is None else f"both {target} and {benchmark} (which target_transform reads)"
        known = _known(coverage, [target], [] if benchmark is None else [benchmark])
        yield f"{folds} on eras {_span(shown)}, none of which has {what}; known {_where(known)}"


def _unscored(config: Config, folds: Folds, coverage: EraCoverage) -> Iterator[str]:
    """Whether no era that is predicted has all that its score takes."""
    post, score = config.post, config.score
    read = [score.benchmark, *(config.benchmark(name) for name in post.blend or ())]
    read += [score.benchmark] if post.neutralize and SCORE_BENCHMARK in post.neutralize.names else []
    known = _known(coverage, [score.target], read)
    predicted = sorted(era for fold in folds.trainable for era in fold.validation_eras)
    if known.isdisjoint(predicted):
        needs = " and ".join(dict.fromkeys((score.target, *read)))
        yield (
            f"no score can be made: of the eras that are predicted, {_span(predicted)}, none has {needs} "
            f"(score and post read them; known {_where(known)}); use a target and benchmarks that are known there"
        )


def _can_learn(lesson: Lesson, coverage: EraCoverage) -> bool:
    benchmarks = [] if lesson.benchmark is None else [lesson.benchmark]
    return not _known(coverage, [lesson.target], benchmarks).isdisjoint(lesson.eras)


def _remedy(cv: CvConfig, folds: Folds, lacking: Sequence[Lesson], coverage: EraCoverage, refold: Refold) -> str:
    """The first change of ``cv`` under which every fold has something to learn from."""
    for changes in _ways(cv, folds, {each.fold for each in lacking}):
        try:
            lessons = refold(cv.model_copy(update=changes))
        except ConfigError:
            continue
        if all(_can_learn(each, coverage) for each in lessons):
            first = min(lessons, key=lambda each: each.fold)
            setting = ", ".join(f"cv.{name} to {value}" for name, value in changes.items())
            return f"set {setting}: then the first fold that trains is fold {first.fold}, on eras {_span(first.eras)}"
    other = " or benchmark" if any(each.benchmark for each in lacking) else ""
    return f"no other cut into folds helps: use a target{other} that is known there"


def _ways(cv: CvConfig, folds: Folds, lacking: Iterable[int]) -> Iterator[dict[str, int]]:
    """Later folds alone, or fewer and longer ones; not every number of many."""
    trained = {fold.index: len(fold.train_eras) for fold in folds.trainable}
    yield {"min_train_eras": max(trained[fold] for fold in lacking) + 1}
    splits = cv.n_splits
    fewer = dict.fromkeys((splits - 1, splits - 2, *(splits >> halved for halved in range(1, splits.bit_length()))))
    yield from ({"n_splits": each} for each in fewer if each > 1)


def _known(coverage: EraCoverage, targets: Iterable[str], benchmarks: Iterable[str]) -> Eras:
    """Eras in which all of them are known."""
    columns = [*map(coverage.target, dict.fromkeys(targets)), *map(coverage.benchmark, dict.fromkeys(benchmarks))]
    return frozenset.intersection(*columns)


def _where(known: Eras) -> str:
    return f"in eras {_span(sorted(known))}" if known else "in no era of the file"


def _span(eras: Sequence[int]) -> str:
    first, last = era_label(eras[0]), era_label(eras[-1])
    return first if first == last else f"{first}–{last}"
