"""What an experiment keeps: its ledger, files that are whole or absent, and one driver at a time."""

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_lines import decided, metrics, variant

from numerai_ray.errors import EnvironmentFault, ExperimentBusy
from numerai_ray.experiment.ledger import append_ledger, known_by_fingerprint, read_ledger
from numerai_ray.experiment.lock import experiment_lock, lock_holder
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import Decision, RoundRecord, VariantRecord
from numerai_ray.experiment.score_values import official_metrics
from numerai_ray.metrics.scoring import EraScores, Metrics, Summary, metrics_of, summarize
from numerai_ray.system.files import whole_file, write_text
from numerai_ray.system.json_text import to_json, without_nan, write_json

NAN = math.nan
NUMBERS = st.floats(allow_infinity=False)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
CHANGES = st.dictionaries(st.text(min_size=1), PLAIN, max_size=3)
SUMMARIES = st.builds(Summary, NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.integers(0, 2000))
METRICS = st.builds(Metrics, SUMMARIES, SUMMARIES, SUMMARIES, NUMBERS, NUMBERS)
TEXTS = st.lists(st.text(), max_size=2).map(tuple)
VARIANTS = st.builds(
    VariantRecord,
    id=st.text(min_size=1),
    name=st.text(),
    role=st.sampled_from(["base", "variant", "baseline", "benchmark"]),
    fingerprint=st.text("0123456789abcdef", min_size=12, max_size=12),
    changes=CHANGES,
    metrics=st.none() | METRICS,
    error=st.none() | st.text(),
    flags=TEXTS,
    fits_new=st.integers(0, 99),
    fits_stored=st.integers(0, 99),
    fit_seconds=st.floats(0, 1e6),
)
ROUNDS = st.builds(
    RoundRecord,
    number=st.integers(1, 99),
    stage=st.sampled_from(["scout", "confirm", "final"]),
    dimension=st.none() | st.text(),
    base_changes=CHANGES,
    variants=st.lists(VARIANTS, max_size=3).map(tuple),
    decision=st.builds(
        Decision,
        winner=st.none() | st.text(),
        promoted=st.booleans(),
        gain=st.none() | st.floats(-1, 1),
        changes=CHANGES,
        reason=st.text(),
    ),
    origin=st.dictionaries(st.text(), st.text(), max_size=2),
    started=st.text(),
    wall_s=st.floats(0, 1e6),
    notes=TEXTS,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return ExperimentPaths(tmp_path).ledger


# The ledger


@settings(max_examples=60)
@given(st.lists(ROUNDS, max_size=3))
def test_rounds_are_read_back_as_they_were_written(tmp_path_factory, rounds) -> None:
    path = tmp_path_factory.mktemp("ledger") / "results" / "rounds.jsonl"
    rounds = [replace(record, number=number) for number, record in enumerate(rounds, start=1)]
    for record in rounds:
        append_ledger(path, record)
    # NaN equals no NaN, so that the representations are compared
    assert repr(read_ledger(path)) == repr(rounds)


def test_unknown_numbers_come_back_as_unknown(ledger: Path) -> None:
    unknown = summarize([NAN, NAN])
    lost = replace(metrics(), bmc=unknown, bmc_last=unknown, avg_corr_with_benchmark=NAN)
    append_ledger(ledger, decided(1, variant("a", metrics=lost), variant("b", metrics=None, error="failed")))
    assert "NaN" not in ledger.read_text()
    (record,) = read_ledger(ledger)
    first, second = record.variants
    assert first.metrics is not None
    assert math.isnan(first.metrics.primary)
    assert math.isnan(first.metrics.avg_corr_with_benchmark)
    assert repr(first.metrics) == repr(lost)
    assert (second.metrics, second.error) == (None, "failed")


def test_no_ledger_is_no_round(ledger: Path) -> None:
    assert read_ledger(ledger) == []
    ledger.parent.mkdir()
    ledger.touch()
    assert read_ledger(ledger) == []


@pytest.mark.parametrize("kept", [1, 20, -2, -1])
def test_a_torn_last_line_does_not_count_and_is_overwritten(ledger: Path, kept) -> None:
    append_ledger(ledger, decided(1))
    whole = ledger.read_bytes()
    line = (to_json(decided(2)) + "\n").encode()
    ledger.write_bytes(whole + line[:kept])
    assert [record.number for record in read_ledger(ledger)] == [1]
    append_ledger(ledger, decided(2, variant("a")))
    assert [record.number for record in read_ledger(ledger)] == [1, 2]
    assert ledger.read_bytes() == whole + (to_json(decided(2, variant("a"))) + "\n").encode()


def test_a_first_line_cut_short_leaves_nothing(ledger: Path) -> None:
    ledger.parent.mkdir()
    ledger.write_text('{"number": 1, "sta')
    assert read_ledger(ledger) == []
    append_ledger(ledger, decided(1))
    assert read_ledger(ledger) == [decided(1)]


def test_a_ledger_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    with pytest.raises(EnvironmentFault, match=r"rounds\.jsonl: cannot be written"):
        append_ledger(tmp_path / "results" / "rounds.jsonl", decided(1))


def test_no_config_that_ran_well_is_run_twice() -> None:
    failed = variant("a", metrics=None, error="failed")
    first, again = variant("b"), variant("base", role="base", fingerprint="print-b")
    later = variant("a", id="r02-a")
    history = [decided(1, failed, first), decided(2, later, again)]
    assert known_by_fingerprint(history) == {"print-b": first, "print-a": later}
    assert known_by_fingerprint([decided(1, failed)]) == {}
    assert known_by_fingerprint([]) == {}


# The official schema and JSON


def test_official_metrics_have_the_official_keys() -> None:
    parts = {name: Summary(i + 0.1, i + 0.2, i + 0.3, i + 0.4, 9) for i, name in enumerate(("corr", "bmc", "bmc_last"))}
    told = official_metrics(Metrics(**parts, avg_corr_with_benchmark=0.5, avg_corr_with_benchmark_last=0.6))
    assert told == {
        "corr": {"mean": 0.1, "std": 0.2, "sharpe": 0.3, "max_drawdown": 0.4},
        "bmc": {"mean": 1.1, "std": 1.2, "sharpe": 1.3, "max_drawdown": 1.4, "avg_corr_with_benchmark": 0.5},
        "bmc_last_200_eras": {
            "mean": 2.1,
            "std": 2.2,
            "sharpe": 2.3,
            "max_drawdown": 2.4,
            "avg_corr_with_benchmark": 0.6,
        },
    }


def test_last_eras_are_the_last_that_have_a_score() -> None:
    bmc = np.array([0.1, 0.2, NAN, 0.4, 0.5, NAN])
    made = metrics_of(EraScores(np.arange(6) / 100, bmc, bmc), 3)
    assert made.primary == made.bmc_last.mean == pytest.approx((0.2 + 0.4 + 0.5) / 3)
    assert made.tie_break == made.bmc.mean == pytest.approx(0.3)
    assert made.avg_corr_with_benchmark == pytest.approx(0.3)
    assert made.avg_corr_with_benchmark_last == made.primary
    assert made.corr.mean == pytest.approx(0.025)
    assert (made.bmc.n_eras, made.bmc_last.n_eras) == (4, 3)


def test_json_knows_no_nan(tmp_path: Path) -> None:
    value = {"a": NAN, "b": [1.0, math.inf, (NAN, "NaN")], "c": {"d": -math.inf}}
    plain = {"a": None, "b": [1.0, None, [None, "NaN"]], "c": {"d": None}}
    assert without_nan(value) == plain
    write_json(tmp_path / "new" / "x.json", value)
    assert json.loads((tmp_path / "new" / "x.json").read_text()) == plain
    record = decided(1, variant("a"))
    assert json.loads(to_json(record)) == json.loads(json.dumps(without_nan(asdict(record))))


def test_every_file_of_an_experiment_has_its_own_name() -> None:
    paths = ExperimentPaths(Path("e"))
    names = [getattr(paths, name) for name in dir(type(paths)) if isinstance(getattr(type(paths), name), property)]
    names += [
        call("r01-a=1.5") for call in (paths.config, paths.results, paths.predictions, paths.plot, paths.trial_log)
    ]
    assert len(set(names)) == len(names)
    assert all(Path("e") in name.parents for name in names)
    assert paths.results("r01-a=1.5") == Path("e/results/r01-a=1.5.json")


# Files that are whole or absent


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with whole_file(path) as partial:
        partial.write_text("half")
        assert partial.parent == path.parent
        assert not path.exists()
        partial.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("before", [None, "what was there"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_inside_changes_nothing(tmp_path: Path, before, error) -> None:
    path = tmp_path / "file.txt"
    if before is not None:
        path.write_text(before)
    with pytest.raises(error), whole_file(path) as partial:
        partial.write_text("half")
        raise error
    assert [each.read_text() for each in tmp_path.iterdir()] == ([] if before is None else [before])


def test_a_full_disk_is_a_fault_of_the_environment_and_changes_nothing(tmp_path: Path) -> None:
    write_text(tmp_path / "file.txt", "first")
    with (
        pytest.raises(EnvironmentFault, match=r"file\.txt: cannot be written: .*No space left.*free some space"),
        whole_file(tmp_path / "file.txt") as partial,
    ):
        partial.write_text("half")
        raise OSError(28, "No space left on device")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["first"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file where the folder should be")
    with pytest.raises(EnvironmentFault, match="folder: cannot be written"):
        write_text(tmp_path / "folder" / "file.txt", "x")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(EnvironmentFault, match="cannot be written: Permission denied"):
        write_text(tmp_path / "file.txt", "x")


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file.txt").mkdir()
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        write_text(tmp_path / "file.txt", "x")
    assert [each.name for each in tmp_path.iterdir()] == ["file.txt"]


def test_long_names_and_text_in_any_script(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 240}.txt"
    write_text(path, "Märkte — 市場\n")
    assert path.read_text(encoding="utf-8") == "Märkte — 市場\n"


# One driver at a time

HOLD = """
import sys
from pathlib import Path
from numerai_ray.experiment.lock import experiment_lock
with experiment_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_driver_is_refused_by_name_until_the_first_dies(tmp_path: Path) -> None:
    lock = ExperimentPaths(tmp_path / "exp").lock
    assert lock_holder(lock) is None
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(ExperimentBusy) as refusal, experiment_lock(lock):
            pass
        message = str(refusal.value)
        assert message.startswith(f"{lock.parent}: is being run by process {first.pid} on ")
        assert f"`numerai-ray status {lock.parent}`" in message
        holder = lock_holder(lock)
        assert holder is not None
        assert holder.startswith(f"process {first.pid} on ")
        assert holder in message
        first.kill()
        first.wait()
    assert lock_holder(lock) is None
    with experiment_lock(lock):
        holder = lock_holder(lock)
        assert holder is not None
        assert holder.startswith(f"process {os.getpid()} on ")
    assert lock_holder(lock) is None


def test_a_lock_is_freed_by_an_exception_and_taken_again(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), experiment_lock(tmp_path / ".lock"):
        raise ValueError("inside")
    with experiment_lock(tmp_path / ".lock"), pytest.raises(ExperimentBusy), experiment_lock(tmp_path / ".lock"):
        pass


def test_a_lock_without_a_name_is_still_held(tmp_path: Path) -> None:
    with experiment_lock(tmp_path / ".lock"):
        (tmp_path / ".lock").write_text("")
        assert lock_holder(tmp_path / ".lock") == "another process"
        with (
            pytest.raises(ExperimentBusy, match="is being run by another process"),
            experiment_lock(tmp_path / ".lock"),
        ):
            pass


def test_a_lock_in_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "exp").write_text("a file where the folder should be")
    with pytest.raises(EnvironmentFault, match="cannot be written"), experiment_lock(tmp_path / "exp" / ".lock"):
        pass
