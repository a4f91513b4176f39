"""Keys by content: a fit is known by what it reads of the data, wherever that lies, and by nothing else of the file."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from contracts import config, ignore

from numerai_ray import trees
from numerai_ray.config import fingerprint
from numerai_ray.data.dataset import file_fingerprint
from numerai_ray.data.eras import Fold
from numerai_ray.models.engine import FIVE_VALUES
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.key import FIT_VERSION, library_version
from numerai_ray.training.spec import FitSpec, VariantPlan
from numerai_ray.training.store.fits import FitStore, StoredFit, is_stored, stored_fit

RESIDUAL = {"model": {"target_transform": {"type": "residual_to_benchmark"}}, "cv": {"min_train_eras": 40}}
Edit = Callable[[pa.Table], pa.Table]


@pytest.fixture
def root(market: Path, tmp_path: Path) -> Path:
    """A data root of the test's own, with the tiny version."""
    return Path(shutil.copytree(market, tmp_path / "data"))


def plan(root: Path, changes: dict[str, Any] | None = None) -> VariantPlan:
    return Catalog(root).plan("v", "t/r1/v", config(changes))


def edit(root: Path, name: str, change: Edit) -> None:
    """Write a built file anew, in row groups of its own size."""
    path = root / "tiny" / name
    pq.write_table(change(pq.read_table(path)), path, row_group_size=1000)


def flipped(column: str, era: int, value: float) -> Edit:
    """Another value in the first row of an era."""

    def change(table: pa.Table) -> pa.Table:
        row = table["era"].to_pylist().index(f"{era:04d}")
        values = table[column].to_numpy().copy()
        values[row] = value if values[row] != value else value / 2
        place = table.schema.get_field_index(column)
        return table.set_column(place, table.schema.field(column), pa.array(values, table.schema.field(column).type))

    return change


def changed_folds(before: VariantPlan, after: VariantPlan) -> set[int]:
    pairs = zip(before.fits, after.fits, strict=True)
    return {one.fold.index for one, other in pairs if one.key != other.key}


def test_a_flipped_feature_changes_the_fits_that_read_its_era(root: Path) -> None:
    before = plan(root)
    name, first = before.fits[0].features[0], before.fits[0].fold
    era = next(era for era in before.fits[-1].fold.train_eras if era > first.validation_eras[-1])
    readers = {fit.fold.index for fit in before.fits if era in {*fit.fold.train_eras, *fit.fold.validation_eras}}
    assert readers
    assert first.index not in readers
    edit(root, "full.parquet", flipped(name, era, 4))
    assert changed_folds(before, plan(root)) == readers


def test_what_no_fit_reads_changes_no_key(root: Path) -> None:
    before = plan(root)
    read = {*before.fits[0].features, *before.diagnosed.neutral_to}
    unread = next(name for name in before.index.columns if name.startswith("feature") and name not in read)
    gap = next(era for era in before.index.eras if era > before.fits[0].fold.train_eras[-1])
    edit(root, "full.parquet", flipped(unread, 60, 4))
    edit(root, "full.parquet", flipped("target_jasper_20", 60, 1))
    edit(root, "full.parquet", flipped("target_ender_20", gap, 1))
    edit(root, "full_benchmark_models.parquet", flipped("v52_lgbm_ender20", 60, 0.25))
    assert gap not in before.fits[0].fold.train_eras
    assert before.fits[0].key == plan(root).fits[0].key
    assert before.index.fingerprint != plan(root).index.fingerprint


def test_a_label_decides_where_it_is_learned_and_not_where_it_is_scored(root: Path) -> None:
    before = plan(root)
    era = before.fits[-1].fold.validation_eras[-1]
    edit(root, "full.parquet", flipped("target_ender_20", era, 1))
    after = plan(root)
    assert not changed_folds(before, after)
    assert before.predicted["scored"] != after.predicted["scored"]
    assert before.predicted["diagnosed"] != after.predicted["diagnosed"]


def test_a_watched_benchmark_decides(root: Path) -> None:
    before = plan(root, RESIDUAL)
    era = before.fits[-1].fold.train_eras[-1]
    readers = {fit.fold.index for fit in before.fits if era in fit.fold.train_eras}
    edit(root, "full_benchmark_models.parquet", flipped("v52_lgbm_ender20", era, 0.25))
    assert changed_folds(before, plan(root, RESIDUAL)) == readers
    edit(root, "full_benchmark_models.parquet", lambda table: table.slice(3))
    moved = plan(root, RESIDUAL)
    assert changed_folds(before, moved) == {fit.fold.index for fit in before.fits}, "ids that belong elsewhere now"


def test_full_and_downsampled_eras_are_the_same_fit(root: Path) -> None:
    catalog = Catalog(root)
    plans = [catalog.plan("v", "t/r1/v", config({"data": {"file": file}})) for file in ("full", "downsampled")]
    eras = plans[1].index.eras
    fold = Fold(0, eras[:20], eras[25:])
    alike = [catalog.on_fold(each, fold) for each in plans]
    assert alike[0].fits[0].key == alike[1].fits[0].key
    assert alike[0].fits[0].former != alike[1].fits[0].former
    made = [
        InProcessRunner(FitStore(root / str(number)), 1).run([each], ignore)["v"] for number, each in enumerate(alike)
    ]
    np.testing.assert_array_equal(made[0].prediction, made[1].prediction)


def test_rows_of_a_file_that_is_not_in_order_are_known_again(root: Path) -> None:
    before = plan(root)

    def upside_down(table: pa.Table) -> pa.Table:
        eras = np.array(table["era"].to_pylist())
        return table.take(np.lexsort((np.arange(len(eras)), [-int(era) for era in eras])))

    edit(root, "full.parquet", upside_down)
    assert not changed_folds(before, plan(root))


def test_digests_of_other_bytes_are_never_trusted(root: Path) -> None:
    kept = root / "tiny" / ".full.digests"
    before, stale = plan(root), kept.read_bytes()
    edit(root, "full.parquet", flipped(before.fits[0].features[0], 5, 4))
    after = [fit.key for fit in plan(root).fits]
    assert after != [fit.key for fit in before.fits]
    for wrong in (stale, kept.read_bytes()[:-9], b"", kept.read_bytes().replace(b"0005", b"0006", 1)[:-1] + b"x"):
        kept.write_bytes(wrong)
        assert [fit.key for fit in plan(root).fits] == after


def former_key(spec: FitSpec) -> str:
    """The key of the release before keys by content, written out once more."""
    model = spec.config.model
    decides: dict[str, Any] = {
        "fit_version": FIT_VERSION,
        "dataset": file_fingerprint(spec.index.path),
        "features": fingerprint(spec.features, digits=64),
        "missing": "two",
        "target": spec.target,
        "train_eras": spec.fold.train_eras,
        "validation_eras": spec.fold.validation_eras,
        "model": "lightgbm",
        "params": spec.model.canonical_params(model.params),
        "sample": None,
        "libraries": {name: library_version(name) for name in spec.model.libraries},
    }
    if spec.engine.name == FIVE_VALUES:
        decides["engine"] = [FIVE_VALUES, trees.VERSION]
    if model.target_transform is not None:
        own = {"fit_intercept": True, "per_era": True, "proportion": 1.0}
        decides["target_transform"] = ["residual_to_benchmark", own]
        decides["benchmarks"] = {"v52_lgbm_ender20": file_fingerprint(spec.index.benchmark_path)}
    return fingerprint(decides, digits=64)


@pytest.mark.parametrize("changes", [{}, RESIDUAL], ids=["plain", "with a benchmark"])
def test_a_store_of_the_version_before_is_used(root: Path, changes: dict[str, Any]) -> None:
    old, new = FitStore(root / "old"), FitStore(root / "new")
    first = plan(root, changes)
    runner = InProcessRunner(new, 1)
    runner.run([first], ignore)
    for spec in first.fits:
        made = stored_fit(new, spec)
        assert made is not None
        old.put(former_key(spec), StoredFit(made.predictions, made.facts))
    assert all(is_stored(old, spec) for spec in first.fits)
    outcome = InProcessRunner(old, 1).run([first], ignore)["v"]
    assert all(fold.stored for fold in outcome.folds), "nothing is trained again"
    # The file grows, its old fingerprint is gone, and what was used in the meantime has its new name.
    edit(root, "full.parquet", flipped("target_tyler_20", 110, 1))
    assert all(is_stored(old, spec) for spec in plan(root, changes).fits)
