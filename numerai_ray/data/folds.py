"""Folds of a config: cut with an honest embargo, and whether they find the labels and benchmarks they need."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from numerai_ray.config import Config, CvConfig, DataConfig
from numerai_ray.data.columns import number_values
from numerai_ray.data.dataset import META_MODEL, DatasetIndex, load_columns, open_parquet, read_group
from numerai_ray.data.eras import FoldError, Folds, Holdout, era_folds, era_label, least_honest_gap
from numerai_ray.errors import ConfigError, DataError, Problem
from numerai_ray.system.storage import Place

Eras = frozenset[int]


@dataclass(eq=False)
class EraCoverage:
    """Eras of one indexed file in which a column is known in one row at least; each column is read once."""

    index: DatasetIndex
    data: DataConfig
    _targets: dict[str, Eras] = field(default_factory=dict)
    _benchmarks: dict[str, Eras] = field(default_factory=dict)

    def target(self, name: str) -> Eras:
        """Eras with a label of this target."""
        if name not in self._targets:
            values = _floats(_read(self.index.path, name).column(0), self.index.path)
            self._targets[name] = self._known(values if self.index.order is None else values[self.index.order])
        return self._targets[name]

    def benchmark(self, name: str) -> Eras:
        """Eras with a value of this benchmark."""
        if name not in self._benchmarks:
            self._benchmarks[name] = self._known_benchmark(name)
        return self._benchmarks[name]

    def meta_model(self) -> Eras:
        """Eras with the meta model; none where its file is not there."""
        if META_MODEL not in self._benchmarks:
            columns = load_columns(self.index, self.data, (), (META_MODEL,)).benchmarks
            self._benchmarks[META_MODEL] = self._known(columns[META_MODEL]) if META_MODEL in columns else frozenset()
        return self._benchmarks[META_MODEL]

    def _known_benchmark(self, name: str) -> Eras:
        path, era_col = self.index.benchmark_path, self.data.era_col
        if era_col in self.index.benchmark_columns:
            table = _read(path, era_col, name)
            try:
                known = table.column(0).filter(pc.is_finite(table.column(1).cast(pa.float64())))
                # By its own eras: matching ids, as a round does, takes seconds with a large file.
                return frozenset(map(int, pc.unique(known.cast(pa.string())).to_pylist())) & {*self.index.eras}
            except (ValueError, TypeError, pa.ArrowException):
                pass  # eras that are no plain numbers, say of live rows, are no fault where rows are matched by id
        return self._known(load_columns(self.index, self.data, (), (name,)).benchmarks[name])

    def _known(self, values: npt.NDArray[np.float64]) -> Eras:
        known = np.logical_or.reduceat(np.isfinite(values), self.index.era_starts[:-1])
        return frozenset(np.asarray(self.index.eras)[known].tolist())


def _read(path: Place, *names: str) -> pa.Table:
    """Columns of a file, in its own order of rows."""
    file = open_parquet(path, "build it again")
    return pa.concat_tables([read_group(file, group, names, path) for group in range(file.num_row_groups)])


def _floats(column: pa.ChunkedArray, path: Place) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(number_values(column.cast(pa.float64())), np.float64)
    except pa.ArrowException as error:
        first = str(error).splitlines()[0]
        raise DataError(f"{path}: is damaged ({first}); download or build the file again") from error


def _label_names(config: Config) -> tuple[str, ...]:
    return (*config.trained_targets(), *config.score.targets)


def honest_folds(label: str, config: Config, there: Sequence[int], holdout: Holdout | None, *, kept: bool) -> Folds:
    """The folds of a config in the eras that are ``there``, ascending, without those of the ``holdout``.

    With ``kept``, the one fold that scores those.

    Raises :class:`ConfigError` where they cannot be made, or labels overlap.
    """
    names = _label_names(config)
    needed = least_honest_gap(names)
    gap = max(needed, config.cv.embargo_eras if config.cv.embargo_unit == "weeks" else 0)
    eras = there if holdout is None else holdout.searched(there, gap)
    try:
        if holdout is not None and kept:
            return Folds((holdout.fold(there, gap),), ())
        folds = era_folds(eras, config.cv)
    except FoldError as error:
        rule = str(error)
        if holdout is not None and not kept and _can_be_cut(there, config):
            kept_out = f"holdout_eras: {holdout.eras} and the embargo before them leave {len(eras)} of the file's"
            rule = f"{kept_out} {len(there)} eras to search; lower it ({error})"
        raise ConfigError(label, [Problem("$.cv", rule)]) from error
    if config.cv.embargo_unit == "weeks" and folds.gap_eras < needed:
        rule = (
            f"leaves {folds.gap_eras} eras between training and validation, but labels of {_listed(names)} "
            f"overlap, so at least {needed} are needed; raise it"
        )
        raise ConfigError(label, [Problem("$.cv.embargo_eras", rule)])
    return folds


def _listed(names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    return distinct[0] if len(distinct) == 1 else f"{', '.join(distinct[:-1])} and {distinct[-1]}"


def _can_be_cut(eras: Sequence[int], config: Config) -> bool:
    try:
        return bool(era_folds(eras, config.cv).trainable)
    except FoldError:
        return False


def one_row_eras(index: DatasetIndex, eras: Sequence[int]) -> list[int]:
    """Those of ``eras`` that have a single row: nothing varies there, so nothing can be made neutral."""
    sizes = np.diff(index.era_starts)[index.positions(eras)]
    return [era for era, size in zip(eras, sizes.tolist(), strict=True) if size == 1]


def fold_notes(config: Config, folds: Folds, index: DatasetIndex) -> tuple[str, ...]:
    """What a reader of the results must know about the folds."""
    few = f"fewer than {config.cv.min_train_eras}" if config.cv.min_train_eras > 1 else "no"
    notes = [
        f"validation eras {first:04d}–{last:04d} have {few} training eras before them and are not predicted"
        for first, last in _together(folds)
    ]
    needed = least_honest_gap(_label_names(config))
    if folds.gap_eras < needed:
        notes.append(f"the smallest gap is {folds.gap_eras} eras, but labels overlap: at least {needed} are needed")
    predicted = [era for fold in folds.trainable for era in fold.validation_eras]
    if config.post.neutralize is not None and (alone := one_row_eras(index, predicted)):
        count = f"{len(alone)} of {len(predicted)} predicted eras, the first {alone[0]:04d}, have a single row"
        notes.append(f"{count}, which cannot be neutralized: they have no prediction and no score")
    return tuple(notes)


def _together(folds: Folds) -> list[tuple[int, int]]:
    """First and last eras of what is not predicted, blocks that follow each other as one."""
    begins = {fold.validation_eras[0] for fold in folds.trainable}
    found: list[tuple[int, int]] = []
    for block in folds.untrainable:
        if found and not any(found[-1][1] < each < block[0] for each in begins):
            found[-1] = (found[-1][0], block[-1])
        else:
            found.append((block[0], block[-1]))
    return found


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
    score = config.score
    read = [score.benchmark, *map(config.benchmark, config.post.benchmarks)]
    known = _known(coverage, [score.target], read)
    predicted = sorted(era for fold in folds.trainable for era in fold.validation_eras)
    if known.isdisjoint(predicted):
        needs = " and ".join(dict.fromkeys((score.target, *read)))
        yield (
            f"no score can be made: of the eras that are predicted, {_span(predicted)}, none has {needs} "
            f"(score and post read them; known {_where(known)}); use a target and benchmarks that are known there"
        )


def metric_problems(config: Config, folds: Folds, coverage: EraCoverage) -> list[str]:
    """Whether what decides can be known in any predicted era: MMC needs the meta model."""
    metric = config.score.primary
    if metric.series != "mmc":
        return []
    predicted = sorted(era for fold in folds.trainable for era in fold.validation_eras)
    if not coverage.meta_model().isdisjoint(predicted):
        return []
    problem = (
        f"metric {metric.name}: of the eras that are predicted, {_span(predicted)}, none has the meta model (known "
        f"{_where(coverage.meta_model())}); use `metric: payout`, in which BMC stands in for MMC, or bmc"
    )
    return [problem]


def meta_model_notes(config: Config, folds: Folds, coverage: EraCoverage) -> list[str]:
    """In how many of the predicted eras a metric that needs the meta model has it; nothing for other metrics."""
    metric = config.score.primary
    if metric.series not in ("mmc", "payout"):
        return []
    predicted = {era for fold in folds.trainable for era in fold.validation_eras}
    there = len(predicted & coverage.meta_model())
    others = "are not scored" if metric.series == "mmc" else "have BMC in the place of MMC"
    if there == len(predicted):
        return []
    return [
        f"metric {metric.name}: {there} of {len(predicted)} predicted eras have the meta model; the others {others}"
    ]


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
