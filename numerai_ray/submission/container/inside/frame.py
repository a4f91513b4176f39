"""The ``predict`` function of a submitted pickle: live data in, a ranked prediction a row out.

A model is a *recipe*: an expression of plain values that is computed era by era. Its parts are

- ``{"do": "model", "type", "inside", "features", "benchmarks", "missing", "payload"}``: a trained model; features by
  position, None for all; ``benchmarks`` are columns that it reads beside them; ``inside`` names its predictor,
- ``{"do": "benchmark", "column"}``: a column of Numerai's benchmark models,
- ``{"do": "mean", "parts"}``: the mean of predictions on one scale (seeds),
- ``{"do": "blend", "parts", "weights", "scale"}``: a weighted sum of ranks, or of their normal quantiles,
- ``{"do": "rank", "part"}``: (rank - 0.5) / n, ties averaged,
- ``{"do": "neutralize", "part", "features", "benchmarks", "proportion"}``: normal quantiles of the ranks, less a
  proportion of their least-squares fit on these columns and a constant.

``predictors`` (name -> function from payload to a function of a float32 matrix, and of benchmarks by name where the
model reads some) come from the files beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

MISSING_VALUE = 2


def build(recipe: Mapping[str, Any], predictors: Mapping[str, Callable[[Any], Any]]) -> Callable[..., Any]:
    """``predict(live_features, live_benchmark_models)``; models are loaded at the first call, each once."""
    loaded: dict[int, Any] = {}

    def predict(live_features: Any, live_benchmark_models: Any = None) -> Any:
        rows = rows_of(live_features)
        matrix = matrix_of(rows, recipe["features"])
        benchmarks = benchmarks_of(live_benchmark_models, rows.index, recipe["benchmarks"])
        eras = np.zeros(len(rows), np.int64) if "era" not in rows else pd.factorize(rows["era"].astype(str))[0]
        result = np.full(len(rows), np.nan)
        for era in range(int(eras.max()) + 1):
            here = np.flatnonzero(eras == era)
            columns = {name: values[here] for name, values in benchmarks.items()}
            context = {"matrix": matrix[here], "benchmarks": columns, "predictors": predictors, "loaded": loaded}
            result[here] = ranks(computed(recipe["recipe"], context))
        return pd.DataFrame({"prediction": result}, index=rows.index)

    return predict


def rows_of(live_features: Any) -> Any:
    """The frame with the ids in its index; ValueError for what no prediction can be made of."""
    if not isinstance(live_features, pd.DataFrame):
        raise ValueError(f"live_features must be a pandas DataFrame, but is {type(live_features).__name__}")
    rows = live_features
    if "id" in rows.columns and rows.index.name != "id":
        rows = rows.set_index("id")
    if not len(rows):
        raise ValueError("live_features must hold at least one row, but is empty")
    repeated = rows.index[rows.index.duplicated()]
    if len(repeated):
        raise ValueError(f"live_features holds {len(repeated)} ids more than once, the first is {repeated[0]!r}")
    if rows.index.hasnans:
        raise ValueError("live_features holds a row without an id")
    if list(rows.columns).count("era") > 1:
        raise ValueError("live_features holds the column 'era' more than once")
    if "era" in rows and rows["era"].isna().any():
        raise ValueError(f"live_features holds {int(rows['era'].isna().sum())} rows without an era")
    return rows


def matrix_of(rows: Any, features: Sequence[str]) -> Any:
    """(n, features) float32 in the order that the model was trained on; NaN where a value is missing."""
    there = set(rows.columns)
    lost = [name for name in features if name not in there]
    if lost:
        raise ValueError(f"live_features lacks {len(lost)} of {len(features)} features, the first is {lost[0]!r}")
    chosen = rows[list(features)]
    if chosen.shape[1] != len(features):
        twice = chosen.columns[chosen.columns.duplicated()][0]
        raise ValueError(f"live_features holds the column {twice!r} more than once")
    for name, kind in zip(features, chosen.dtypes, strict=True):
        if not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_complex_dtype(kind):
            raise ValueError(f"feature {name!r} must hold numbers 0..4, but holds {kind}")
    matrix = np.ascontiguousarray(chosen.to_numpy(dtype=np.float32, na_value=np.nan))
    known = matrix[~np.isnan(matrix)]
    if len(known) and (known.min() < 0 or known.max() > 4 or (known != np.floor(known)).any()):
        bad = ~(np.isnan(matrix) | np.isin(matrix, np.arange(5)))
        row, column = np.argwhere(bad)[0]
        raise ValueError(f"feature {features[column]!r} must hold whole numbers 0..4, but holds {matrix[row, column]}")
    return matrix


def benchmarks_of(frame: Any, ids: Any, columns: Sequence[str]) -> dict[str, Any]:
    """The benchmark columns that the recipe needs, in the order of ``ids``."""
    if not columns:
        return {}
    if not isinstance(frame, pd.DataFrame):
        raise ValueError(f"this model needs live_benchmark_models with {', '.join(columns)}, but got {frame!r:.60}")
    if "id" in frame.columns and frame.index.name != "id":
        frame = frame.set_index("id")
    lost = [name for name in columns if name not in frame.columns]
    if lost:
        raise ValueError(f"live_benchmark_models lacks the column {lost[0]!r}; it holds {list(frame.columns)!r:.200}")
    repeated = frame.index[frame.index.duplicated()]
    if len(repeated):
        raise ValueError(f"live_benchmark_models holds {len(repeated)} ids more than once, first {repeated[0]!r}")
    aligned = frame[list(columns)].reindex(ids)
    found = {}
    for name in columns:
        values = pd.to_numeric(aligned[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        unknown = ~np.isfinite(values)
        if unknown.any():
            raise ValueError(f"live_benchmark_models has no {name!r} for {int(unknown.sum())} of {len(ids)} rows")
        found[name] = values
    return found


def computed(part: Mapping[str, Any], context: Mapping[str, Any]) -> Any:
    """(n,) float64: a part of the recipe for the rows of one era."""
    if part["do"] == "model":
        return modelled(part, context)
    if part["do"] == "benchmark":
        return context["benchmarks"][part["column"]]
    if part["do"] == "rank":
        return ranks(computed(part["part"], context))
    if part["do"] == "neutralize":
        return neutral(part, context)
    parts = [computed(each, context) for each in part["parts"]]
    if part["do"] == "mean":
        return np.mean(parts, axis=0)
    scaled = [gaussian(each) if part["scale"] == "gauss" else ranks(each) for each in parts]
    return sum(weight * each for weight, each in zip(part["weights"], scaled, strict=True))


def modelled(part: Mapping[str, Any], context: Mapping[str, Any]) -> Any:
    """(n,): what a trained model predicts."""
    matrix = context["matrix"] if part["features"] is None else context["matrix"][:, part["features"]]
    if part["missing"] == "two":
        matrix = np.where(np.isnan(matrix), np.float32(MISSING_VALUE), matrix)
    else:  # Numerai writes 2 in the whole era where it has no data
        whole = ((matrix == MISSING_VALUE) | np.isnan(matrix)).all(axis=0)
        matrix = np.where(whole, np.float32(np.nan), matrix)
    key = id(part)
    if key not in context["loaded"]:
        context["loaded"][key] = context["predictors"][part["inside"]](part["payload"])
    given: list[Any] = [np.ascontiguousarray(matrix)]
    if part.get("benchmarks"):
        given.append({name: context["benchmarks"][name] for name in part["benchmarks"]})
    prediction = np.asarray(context["loaded"][key](*given), np.float64).reshape(-1)
    if len(prediction) != len(matrix) or not np.isfinite(prediction).all():
        raise ValueError(f"the {part['type']} model gave {len(prediction)} predictions for {len(matrix)} rows, or NaN")
    return prediction


def ranks(values: Any) -> Any:
    """(rank - 0.5) / n, ties averaged."""
    return (pd.Series(values).rank(method="average").to_numpy() - 0.5) / len(values)


def gaussian(values: Any) -> Any:
    """Normal quantiles of the ranks, divided by their standard deviation."""
    quantiles = quantiles_of(values)
    std = quantiles.std()
    return quantiles / std if std > 0 else quantiles


def quantiles_of(values: Any) -> Any:
    """Normal quantiles of the ranks."""
    from scipy.special import ndtri

    return ndtri(ranks(values))


def neutral(part: Mapping[str, Any], context: Mapping[str, Any]) -> Any:
    """Normal quantiles of a prediction less ``proportion`` of their fit on features, benchmarks and a constant."""
    from scipy.linalg import lstsq

    values = quantiles_of(computed(part["part"], context))
    if (values == values[0]).all():
        return np.full(len(values), 0.5)
    chosen = slice(None) if part["features"] is None else part["features"]
    features = context["matrix"][:, chosen]
    features = np.where(np.isnan(features), np.float32(MISSING_VALUE), features).astype(np.float64)
    known = [context["benchmarks"][name] for name in part["benchmarks"]]
    columns = np.column_stack([features, *known, np.ones(len(values))])
    fit = columns @ lstsq(columns, values, cond=1e-6, lapack_driver="gelsd")[0]
    if np.abs(values - fit).max() <= 1e-11 * np.abs(values - values.mean()).max():
        fit = values
    return values - part["proportion"] * fit
