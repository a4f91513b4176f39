"""The prepared copy: kept beside the data, checked when read, made again when in doubt."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from contracts import config, params

from numerai_ray.dataset import load_features
from numerai_ray.models import Prepared
from numerai_ray.prepared import FOLDER, chunk_count, is_enough, prepare, prepare_ahead, prepared_key
from numerai_ray.trial_plan import Catalog, FitSpec


@pytest.fixture
def own_market(market: Path, tmp_path: Path) -> Path:
    """A market to damage."""
    return shutil.copytree(market, tmp_path / "data", ignore=shutil.ignore_patterns(FOLDER))


@pytest.fixture
def spec(own_market: Path) -> FitSpec:
    return Catalog(own_market).plan("base", "test/r1/base", config(params())).fits[-1]


def contents(prepared: Prepared) -> np.ndarray:
    return np.concatenate(prepared.chunks)


def kept(spec: FitSpec) -> list[Path]:
    return sorted((spec.index.path.parent / FOLDER).glob("*.bin"))


def test_made_once_then_read(spec: FitSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepare(spec, 2)
    monkeypatch.setattr("numerai_ray.prepared.load_features", None)  # a second one would have to read the features
    again = prepare(spec, 1)
    assert again.key == made.key == prepared_key(spec)
    np.testing.assert_array_equal(contents(again), contents(made))
    np.testing.assert_array_equal(again.seen.bits, made.seen.bits)
    np.testing.assert_array_equal(again.seen.era_starts, spec.index.era_starts)
    assert len(kept(spec)) == 1


@pytest.mark.parametrize("damage", ["cut", "flipped", "no outline", "empty outline"])
def test_a_damaged_copy_is_made_again(spec: FitSpec, damage: str) -> None:
    made = contents(prepare(spec, 2))
    path = kept(spec)[0]
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:-5])
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "no outline":
        path.with_suffix(".json").unlink()
    else:
        path.with_suffix(".json").write_text("{}")
    np.testing.assert_array_equal(contents(prepare(spec, 2)), made)
    assert path.read_bytes() == made.tobytes()


def test_large_copies_come_in_chunks(spec: FitSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = contents(prepare(spec, 2))
    monkeypatch.setattr("numerai_ray.prepared.CHUNK_BYTES", 10_000)
    chunks = prepare(spec, 2).chunks
    assert len(chunks) == chunk_count(spec) > 3
    assert max(map(len, chunks)) < 15_000  # a label a row comes on top of the bins
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


def test_copies_of_older_data_go(spec: FitSpec) -> None:
    folder = spec.index.path.parent / FOLDER
    folder.mkdir()
    old = folder / f"{spec.index.path.stem}-0123456789abcdef-0123456789ab.bin"
    other = folder / "another-0123456789abcdef-0123456789ab.bin"
    for path in (old, other):
        path.write_bytes(b"x")
    prepare(spec, 2)
    assert not old.exists()
    assert other.exists()


def test_a_folder_that_cannot_be_written_costs_only_the_keeping(spec: FitSpec) -> None:
    (spec.index.path.parent / FOLDER).write_text("a file in the way")
    prepare_ahead(spec, 2)
    made = prepare(spec, 2)
    seen = load_features(spec.index, spec.features).seen
    np.testing.assert_array_equal(made.seen.bits, seen.bits)
    assert len(contents(made))


def test_enough_only_for_the_boosting_that_reads_scores_off_the_copy(own_market: Path) -> None:
    catalog = Catalog(own_market)
    for boosting, enough in (("gbdt", True), ("dart", False)):
        spec = catalog.plan("x", "test/r1/x", config(params(boosting=boosting))).fits[-1]
        assert is_enough(spec, prepare(spec, 2).seen) is enough


ONE_FIT = """
import sys, time
from pathlib import Path
from contracts import config, params
from numerai_ray.dataset import load_columns
from numerai_ray.fit_run import run_fits
from numerai_ray.prepared import prepare
from numerai_ray.trial_plan import Catalog

spec = Catalog(Path(sys.argv[1])).plan("base", "test/r1/base", config(params(n_estimators=300))).fits[-1]
name = "target_ender_20"
columns = load_columns(spec.index, spec.config.data, [name], ["v52_lgbm_ender20"])
prepared = prepare(spec, 1)
process, own = time.process_time(), time.thread_time()
run_fits([spec], None, columns, int(sys.argv[2]), prepared)
process, own = time.process_time() - process, time.thread_time() - own
print((process - own) / process)
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fit_uses_the_threads_that_it_is_given(spec: FitSpec, own_market: Path, threads: int) -> None:
    """LightGBM's last call decides for its whole process; one thread too many, side by side, costs seven times."""
    prepare(spec, 1)  # so that the process below only reads it
    run = [sys.executable, "-c", ONE_FIT, str(own_market), str(threads)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(run, capture_output=True, text=True, env=environment, check=True)
    share_of_other_threads = float(done.stdout)
    # One thread of ours hands over the bins: a tenth here, nothing beside trees of a usual size.
    assert (share_of_other_threads > 0.25) == (threads > 1)
