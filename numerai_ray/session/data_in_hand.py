"""Data in hand: features, targets, folds, transforms and post steps of the project, for frames of one's own."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd

from numerai_ray.config import CvConfig, DataConfig, validate
from numerai_ray.config.schema import DataFile
from numerai_ray.data import dataset
from numerai_ray.data import eras as era_cuts
from numerai_ray.data.columns import era_of
from numerai_ray.data.dataset import Columns, DatasetIndex, feature_names, load_columns, open_index
from numerai_ray.errors import DataError, RequestError, nearest
from numerai_ray.metrics.neutralization import neutralize as neutralized
from numerai_ray.session.places import data_place
from numerai_ray.session.settings import check_named
from numerai_ray.training import post, target_transforms

Rows = npt.NDArray[np.int64]


class Where(TypedDict, total=False):
    """``file`` is "downsampled" (every fourth era, the default) or "full"; ``data`` is the data root."""

    file: DataFile
    data: str | Path | None


def load_features(
    version: str, feature_set: str | Sequence[str] = "medium", eras: Iterable[int] | None = None, **where: Unpack[Where]
) -> pd.DataFrame:
    """Features as a frame over the project's own memory, read as rounds read them.

    >>> from numerai_ray import load_features
    >>> features = load_features("tiny", "small", eras=range(1, 9))
    >>> list(features.index.names), sorted(set(features.dtypes.map(str)))
    (['era', 'id'], ['int8'])

    Args:
        version: of the data, a folder of the data root.
        feature_set: a set of ``features.json``, or several, whose union is read.
        eras: numbers of the eras that are kept; else all.
        **where: see :class:`Where`.

    Returns:
        (n, k) int8 values 0 to 4, a column a feature, ordered by era and indexed by (era, id). Without ``eras`` no
        byte is copied: the frame is a view of what was read.

    Raises:
        DataError: the version, the set or a column is not there.

    """
    index, columns, data, root = _open(version, where, ())
    sets = [feature_set] if isinstance(feature_set, str) else list(feature_set)
    names = tuple(dict.fromkeys(name for each in sets for name in feature_names(root, data.version, each)))
    missing = [name for name in names if name not in index.columns]
    if missing:
        raise DataError(f"{index.path}: has no feature {missing[0]!r}{nearest(missing[0], index.columns)}")
    matrix = dataset.load_features(index, names)
    first = matrix.columns[0].base
    values = first.T if isinstance(first, np.ndarray) and first.ndim == 2 else np.stack(matrix.columns).T
    frame = pd.DataFrame(values, index=_row_index(index, columns), columns=list(names), copy=False)
    return frame if eras is None else frame.iloc[_kept(index, eras)]


def load_targets(
    version: str,
    targets: str | Sequence[str] = "target_ender_20",
    eras: Iterable[int] | None = None,
    benchmarks: Sequence[str] = (),
    **where: Unpack[Where],
) -> pd.DataFrame:
    """Targets, and benchmark predictions where they are asked for, as a frame.

    >>> from numerai_ray import load_targets
    >>> labels = load_targets("tiny", ["target_ender_20", "target_ender_60"], benchmarks=["v52_lgbm_ender20"])
    >>> labels.columns.tolist()
    ['target_ender_20', 'target_ender_60', 'v52_lgbm_ender20']
    >>> bool(labels["target_ender_20"].dropna().between(0, 1).all())
    True

    Args:
        version: of the data, a folder of the data root.
        targets: one or several columns.
        eras: numbers of the eras that are kept; else all.
        benchmarks: columns of the benchmark file.
        **where: see :class:`Where`.

    Returns:
        A row a row of the file, ordered by era and indexed by (era, id): float32 targets in 0 to 1, float64 benchmarks;
        NaN where unknown.

    Raises:
        DataError: the version or a column is not there.

    """
    wanted = [targets] if isinstance(targets, str) else list(targets)
    index, columns, _, _ = _open(version, where, wanted, benchmarks)
    frame = pd.DataFrame({**columns.targets, **columns.benchmarks}, index=_row_index(index, columns), copy=False)
    return frame if eras is None else frame.iloc[_kept(index, eras)]


def era_folds(eras: Any, **cv: Any) -> list[tuple[Rows, Rows]]:
    """Embargoed folds of rows, as rounds cut them; usable as scikit-learn's ``cv=``.

    >>> import numpy as np
    >>> from numerai_ray import era_folds
    >>> rows = np.repeat(np.arange(1, 101), 3)  # a hundred eras of three rows
    >>> folds = era_folds(rows, n_splits=5, embargo_eras=13)
    >>> [(len(train) // 3, len(validation) // 3) for train, validation in folds]
    [(7, 20), (27, 20), (47, 20), (67, 20)]
    >>> from sklearn.dummy import DummyRegressor
    >>> from sklearn.model_selection import cross_val_score
    >>> cross_val_score(DummyRegressor(), np.zeros((300, 1)), np.ones(300), cv=folds).shape
    (4,)

    Args:
        eras: (n,) the era of each row: numbers, texts such as "0575", or a frame with a column or index ``era``.
        **cv: ``n_splits``, ``mode`` ("expanding", "blocked", "walk_forward"), ``embargo_eras``, ``embargo_unit``,
            ``min_train_eras``, ``window_eras``, with the defaults of a plan's ``cv``.

    Returns:
        For each fold that has eras to train on, (train rows, validation rows): positions in ``eras``, ascending.

    Raises:
        ConfigError: a setting is unknown or wrong.
        RequestError: an era is no number, or the eras cannot be cut so.

    """
    numbers = _era_numbers(eras)
    settings = validate(CvConfig, cv, "era_folds")
    try:
        folds = era_cuts.era_folds(numbers.tolist(), settings)
    except era_cuts.FoldError as error:
        raise RequestError(f"era_folds: {error}") from None

    def rows(wanted: Sequence[int]) -> Rows:
        return np.flatnonzero(np.isin(numbers, np.asarray(wanted)))

    return [(rows(fold.train_eras), rows(fold.validation_eras)) for fold in folds.trainable]


Transform = Literal["rank", "gauss", "residual_to_benchmark", "subtract_benchmark_zscore"]


def transform_target(frame: pd.DataFrame, kind: Transform, *, target: str, **settings: Any) -> pd.Series:
    """What a fit learns under ``model.target_transform``, as a column.

    >>> import pandas as pd
    >>> from numerai_ray import transform_target
    >>> labels = pd.DataFrame({"era": ["0001"] * 4, "target": [0.0, 0.5, 0.5, 1.0]})
    >>> transform_target(labels, "rank", target="target").tolist()
    [0.125, 0.5, 0.5, 0.875]

    Args:
        frame: rows with an ``era`` (column or index), in any order.
        kind: as ``type`` in a plan.
        target: its column.
        **settings: ``benchmark`` (a column, which the last two kinds need) and the kind's own, as in a plan.

    Returns:
        (n,) the transformed target, in the order of ``frame``; NaN where it is unknown.

    Raises:
        RequestError: a column is missing, or a setting is not one of the kind's.

    """
    by_benchmark: dict[str, Callable[..., Any]] = {
        "residual_to_benchmark": target_transforms.residual_to_benchmark,
        "subtract_benchmark_zscore": target_transforms.subtract_benchmark_zscore,
    }
    plain: dict[str, Callable[..., Any]] = {
        "rank": target_transforms.rank_target,
        "gauss": target_transforms.gaussianize_target,
    }
    order, starts = _sorted_eras(frame)
    labels = _column(frame, target)[order]
    try:
        if kind in plain:
            found = plain[kind](labels, starts, **settings)
        elif kind in by_benchmark:
            benchmark = _column(frame, str(settings.pop("benchmark", "")))[order]
            found = by_benchmark[kind](labels, benchmark, starts, **settings)
        else:
            raise RequestError(f"transform_target: no kind {kind!r}{nearest(kind, [*plain, *by_benchmark])}")
    except (TypeError, ValueError) as error:
        raise RequestError(f"transform_target, {kind}: {error}") from None
    return _unsorted(found, order, frame, target)


def post_process(
    frame: pd.DataFrame,
    *,
    prediction: str = "prediction",
    neutralize: Sequence[str] = (),
    proportion: float = 1.0,
    blend: dict[str, float] | None = None,
) -> pd.Series:
    """What a plan's ``post`` does to predictions: neutralized to columns, blended with others, ranked; era by era.

    >>> import pandas as pd
    >>> from numerai_ray import post_process
    >>> frame = pd.DataFrame({"era": [1, 1, 1, 2, 2], "prediction": [3.0, 1, 2, 9, 8], "other": [1.0, 2, 3, 4, 5]})
    >>> post_process(frame).tolist()
    [0.8333333333333334, 0.16666666666666666, 0.5, 0.75, 0.25]
    >>> post_process(frame, blend={"other": 0.5}).round(3).tolist()
    [0.5, 0.333, 0.667, 0.5, 0.5]

    Args:
        frame: rows with an ``era`` (column or index), in any order.
        prediction: the column that is processed.
        neutralize: columns (features, a benchmark) whose linear part is taken out.
        proportion: how much of it.
        blend: weights by column, of ranks; the prediction has what is left to 1.

    Returns:
        (n,) in (0, 1), in the order of ``frame``; NaN where anything that is needed is unknown.

    Raises:
        RequestError: a column is missing, or a weight is wrong.

    """
    order, starts = _sorted_eras(frame)
    values = _column(frame, prediction)[order]
    shares = blend or {}
    try:
        if len(neutralize):
            exposures = np.stack([_column(frame, name)[order] for name in neutralize])
            values = neutralized(values, exposures, starts, proportion)
        if shares:
            columns: list[npt.ArrayLike] = [values, *(_column(frame, name)[order] for name in shares)]
            values = post.blend(columns, [1 - sum(shares.values()), *shares.values()], starts)
    except ValueError as error:
        raise RequestError(f"post_process: {error}") from None
    ranked = values if shares else post.rank(values, starts)
    return _unsorted(ranked, order, frame, prediction)


def _open(
    version: str, where: Where, targets: Sequence[str], benchmarks: Sequence[str] = ()
) -> tuple[DatasetIndex, Columns, DataConfig, Any]:
    check_named(Where, where, "load_features, load_targets")
    given = where.get("data")
    root = data_place(None if given is None else str(given))
    data = DataConfig(version=version, file=where.get("file", "downsampled"))
    index = open_index(root, data)
    for names, there, path in (
        (targets, index.columns, index.path),
        (benchmarks, index.benchmark_columns, index.benchmark_path),
    ):
        missing = [name for name in names if name not in there]
        if missing:
            raise DataError(f"{path}: has no column {missing[0]!r}{nearest(missing[0], there)}")
    return index, load_columns(index, data, targets, benchmarks), data, root


def _row_index(index: DatasetIndex, columns: Columns) -> pd.MultiIndex:
    sizes = np.diff(index.era_starts)
    positions = np.repeat(np.arange(len(sizes)), sizes)
    ids = pd.Index(columns.ids.astype(str))
    codes, unique = pd.factorize(ids)
    levels: list[Any] = [list(index.eras), unique]
    places: list[Any] = [positions, codes]
    return pd.MultiIndex(levels, places, names=["era", "id"], verify_integrity=False)


def _kept(index: DatasetIndex, eras: Iterable[int]) -> slice | Rows:
    wanted = set(eras)
    there = [era for era in index.eras if era in wanted]
    if not there:
        span = f"{index.eras[0]} to {index.eras[-1]}"
        raise DataError(f"{index.path}: holds none of the eras that are asked for; it holds {span}")
    ranges = index.row_ranges(there)
    # Neighbouring eras are a view, others a copy.
    return slice(*ranges[0]) if len(ranges) == 1 else np.concatenate([np.arange(*each) for each in ranges])


def _era_numbers(given: Any) -> Rows:
    if isinstance(given, pd.DataFrame):
        if "era" in given.columns:
            given = given["era"]
        elif "era" in given.index.names:
            given = given.index.get_level_values("era")
        else:
            raise RequestError("a frame needs a column or index 'era', which says what belongs together; add it")
    labels, codes = np.unique(np.asarray(given), return_inverse=True)
    numbers = [era_of(label.item() if hasattr(label, "item") else label) for label in labels]
    if None in numbers:
        raise RequestError(f"eras must be numbers of weeks, as 575 or '0575', but one is {labels[numbers.index(None)]}")
    return np.asarray(numbers, np.int64)[codes]


def _sorted_eras(frame: pd.DataFrame) -> tuple[Rows, Rows]:
    """The order that sorts rows by era, and where each era begins in it."""
    numbers = _era_numbers(frame)
    order = np.argsort(numbers, kind="stable")
    _, counts = np.unique(numbers, return_counts=True)
    return order, np.append(0, np.cumsum(counts))


def _column(frame: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    if name not in frame.columns:
        raise RequestError(f"no column {name!r}{nearest(name, map(str, frame.columns))}")
    return frame[name].to_numpy(np.float64)


def _unsorted(values: Any, order: Rows, frame: pd.DataFrame, name: str) -> pd.Series:
    found = np.empty(len(order))
    found[order] = values
    return pd.Series(found, index=frame.index, name=name)
