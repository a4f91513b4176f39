"""Digests of the version before: what began with SHA-256 goes on with it, and what it stored is found by all others."""

import hashlib
import itertools
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from contracts import config, ignore

from numerai_ray.data.contents import Contents
from numerai_ray.data.dataset import open_index
from numerai_ray.data.digests import EraDigester, read_digests
from numerai_ray.data.eras import Hash, Remembered
from numerai_ray.errors import EnvironmentFault
from numerai_ray.experiment.ledger import remembered_of
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.spec import VariantPlan
from numerai_ray.training.store.fits import FitStore, is_stored

BOTH: tuple[Hash, ...] = ("sha256", "xxh3")


@pytest.fixture
def root(market: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(market, tmp_path / "data"))


def plan(root: Path, hashed: Hash = "xxh3", last_era: int | None = None) -> VariantPlan:
    return Catalog(root, remembered=Remembered(last_era, hashed)).plan("v", "t/r1/v", config())


def as_the_version_before_left_it(root: Path) -> VariantPlan:
    """The plan whose fits it stored, and beside the data only digests that it made."""
    for path in (root / "tiny").glob(".*.digests"):
        path.unlink()
    return plan(root, "sha256")


def test_a_digest_of_before_is_what_it_was(root: Path) -> None:
    data = config().data
    index = open_index(root, data)
    table = pq.read_table(index.path, columns=["id", "era", "target_ender_20"])
    first = table.filter(pc.equal(table["era"], "0007"))
    contents, place = Contents(index, data, "sha256"), index.positions([7])[0]
    values = first["target_ender_20"].to_numpy().astype(np.float32).tobytes()
    assert contents.target("target_ender_20")[place].tobytes() == hashlib.sha256(values).digest()[:16]
    ids = "".join(f"{each}\0" for each in first["id"].to_pylist()).encode()
    assert contents.ids()[place].tobytes() == hashlib.sha256(ids).digest()[:16]


def test_slices_and_types_make_no_difference() -> None:
    rng = np.random.default_rng(0)
    values, eras = rng.integers(0, 5, 100, dtype=np.int8), np.repeat([3, 4, 9], [40, 1, 59])
    for hashed in BOTH:
        made = []
        for cuts in ((0, 100), (0, 40, 100), (0, 7, 39, 41, 60, 100)):
            digester = EraDigester({"f": "int8"}, hashed)
            for start, stop in itertools.pairwise(cuts):
                rows = pa.record_batch({"f": pa.array(values)}).slice(start, stop - start)
                digester.add(rows, eras[start:stop])
            made.append(digester.finish())
        wide = EraDigester({"f": "int8"}, hashed)
        wide.add({"f": values.astype(np.int64)}, eras)
        made.append(wide.finish())
        assert {each.values.tobytes() for each in made} == {made[0].values.tobytes()}
        assert made[0].eras == (3, 4, 9)


def test_one_flipped_value_of_an_era_is_seen() -> None:
    def digest(values: np.ndarray) -> bytes:
        digester = EraDigester({"f": "int8"})
        digester.add({"f": values}, np.ones(len(values), np.int64))
        return digester.finish().values.tobytes()

    values = np.random.default_rng(0).integers(0, 5, 300, dtype=np.int8)
    others = set()
    for row in range(300):
        changed = values.copy()
        changed[row] = (changed[row] + 1) % 5
        others.add(digest(changed))
    assert len(others | {digest(values)}) == 301


def test_fits_that_the_version_before_stored_are_found(root: Path) -> None:
    before = as_the_version_before_left_it(root)
    store = FitStore(root / "store")
    InProcessRunner(store, 1).run([before], ignore)
    now = plan(root)
    assert {fit.key for fit in now.fits}.isdisjoint(fit.key for fit in before.fits)
    assert all(is_stored(store, spec) for spec in now.fits)
    outcome = InProcessRunner(store, 1).run([now], ignore)["v"]
    assert all(fold.stored for fold in outcome.folds), "nothing is trained again"
    # And the other way round: an experiment that goes on as it began finds what newer ones stored.
    other = FitStore(root / "other")
    InProcessRunner(other, 1).run([now], ignore)
    assert all(is_stored(other, spec) for spec in plan(root, "sha256").fits)


def test_an_older_experiment_goes_on_after_a_new_week(root: Path) -> None:
    as_the_version_before_left_it(root)
    last = open_index(root, config().data).eras[-1]
    before = plan(root, "sha256", last - 1)
    path = root / "tiny" / "full.parquet"
    table = pq.read_table(path)
    label = np.where(pc.equal(table["era"], f"{last:04d}"), np.float32(0.5), table["target_ender_20"].to_numpy())
    place = table.schema.get_field_index("target_ender_20")
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(label)), path)
    plan(root)  # an experiment of today, whose digests are all that there is of the new file
    after = plan(root, "sha256", last - 1)
    assert [fit.key for fit in before.fits] == [fit.key for fit in after.fits]
    assert before.index.fingerprint != after.index.fingerprint


def test_both_are_kept_in_one_file(root: Path) -> None:
    as_the_version_before_left_it(root)
    plan(root)
    index = open_index(root, config().data)
    kept = read_digests(index.path, index.fingerprint, "era")
    assert kept is not None
    assert {"text/id", "xxh3-text/id"} <= set(kept.columns)
    assert Contents(index, config().data).twins
    assert not np.array_equal(kept.of(["text/id"]), kept.of(["xxh3-text/id"]))


def test_an_experiment_is_known_by_what_its_records_say() -> None:
    looks = {"the eras": "abc", "last_era": "112"}
    assert remembered_of([]) == Remembered()
    assert remembered_of([{"the data file": "abc"}]) == Remembered(), "of a file's bytes: eras were never digested"
    assert remembered_of([looks]) == Remembered(112, "sha256")
    assert remembered_of([looks | {"digests": "xxh3"}]) == Remembered(112, "xxh3")
    with pytest.raises(EnvironmentFault, match="'blake9', which this version does not have"):
        remembered_of([looks | {"digests": "blake9"}])
