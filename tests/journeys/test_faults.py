"""Whatever dies, fills up or moves: what the user sees, and that nothing is lost."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from contracts import config
from desk import BASELINE, CLI, Desk

from numerai_ray.runners.ray.fit_tasks import forget_lone_retries, lone_retry
from numerai_ray.system.process import finish_first, interruptible, two_step_interrupts
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.key import library_version
from numerai_ray.training.store.fits import FitStore, StoredFit

STEPS = {
    "rounds": {"variants": 2, "patience": 1},
    "budget": {"rounds": 1},
}


def desk_in(root: Path, market: Path) -> Desk:
    desk = Desk(root, market, STEPS)
    (desk.folder.parent / "baselines" / "tiny.yaml").write_text(yaml.safe_dump(BASELINE))
    return desk


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, market: Path) -> Desk:
    desk = desk_in(tmp_path_factory.mktemp("undisturbed"), market)
    assert desk.run() == 0
    return desk


# --- disk full --------------------------------------------------------------------------------------------------


def limited(size_bytes: int) -> None:
    """In the child: no file may grow beyond this, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))


@pytest.mark.slow
def test_a_full_disk_is_one_message_and_loses_nothing(undisturbed: Desk, tmp_path: Path, market: Path) -> None:
    """From a disk without a byte to one where only the larger files fail; a report that fails is a note."""
    desk = desk_in(tmp_path, market)
    desk.plan({**STEPS, "keep_models": True})
    command = [*CLI, *desk.arguments("--in-process")]
    for size in (0, 1_000, 9_000, 45_000):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            preexec_fn=lambda size=size: limited(size),
        )
        assert done.returncode == 2, (size, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert "cannot be written" in done.stderr
        assert not list(tmp_path.rglob("*.partial")), "what could not be finished is gone"
    fits = desk.fits()
    assert desk.run() == 0
    assert fits.items() <= desk.fits().items()
    assert list((desk.data / "store").rglob("*.model"))
    assert desk.untimed() == undisturbed.untimed()


# --- moved, copied, shared --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_experiment_moves_to_another_place(undisturbed: Desk, tmp_path: Path, market: Path) -> None:
    first = desk_in(tmp_path / "first", market)
    assert first.run("--rounds", "1") == 0
    second = desk_in(tmp_path / "second", market)
    shutil.rmtree(second.folder)
    shutil.copytree(first.folder, second.folder)
    shutil.copytree(first.data / "store", second.data / "store")
    shutil.rmtree(tmp_path / "first")
    before = second.fits()
    assert second.run() == 0
    assert {name: second.fits()[name] for name in before} == before
    assert second.untimed() == undisturbed.untimed()


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "decides"), [("auto", False), ("lightgbm", True)])
def test_library_versions_share_a_store_without_meeting(
    market: Path, monkeypatch: pytest.MonkeyPatch, engine: str, decides: bool
) -> None:
    """Whatever grows the trees: our own engine has a version of its own, and LightGBM's says nothing of its trees."""

    def keys() -> set[str]:
        library_version.cache_clear()  # as another process would start
        found = {spec.key for spec in Catalog(market).plan("a", "a", config({"model": {"engine": engine}})).fits}
        library_version.cache_clear()
        return found

    before = keys()
    with monkeypatch.context() as other:
        other.setattr("numerai_ray.training.key.version", lambda _: "99.0")
        assert not before & keys() if decides else before == keys()
    monkeypatch.setattr("numerai_ray.trees.VERSION", 99)
    assert before == keys() if decides else not before & keys()


@pytest.mark.slow
def test_a_clock_that_jumps_changes_no_decision(undisturbed: Desk, tmp_path: Path, market: Path) -> None:
    """Files that come from the future, as after a clock was set back: still the same experiment."""
    desk = desk_in(tmp_path, market)
    assert desk.run("--rounds", "1") == 0
    tomorrow = time.time() + 86_400
    for path in [*desk.folder.rglob("*"), *(desk.data / "store").rglob("*")]:
        os.utime(path, (tomorrow, tomorrow))
    before = desk.fits()
    assert desk.run() == 0
    assert {name: desk.fits()[name] for name in before} == before
    assert desk.untimed() == undisturbed.untimed()


# --- interrupts -------------------------------------------------------------------------------------------------


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)  # lets the handler run


def test_an_interrupt_waits_until_writing_is_finished() -> None:
    before = signal.getsignal(signal.SIGINT)  # ignored where the tests run in the background
    said: list[str] = []
    steps = []
    with pytest.raises(KeyboardInterrupt), two_step_interrupts(said.append), finish_first():
        interrupt()
        steps.append("written")
        with interruptible():
            steps.append("trained")
    assert steps == ["written"]
    assert len(said) == 1
    assert "interrupt again" in said[0]
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_while_training_stops_at_once() -> None:
    steps = []
    with pytest.raises(KeyboardInterrupt), two_step_interrupts(lambda _: None), finish_first():
        with interruptible():
            interrupt()
            steps.append("trained")
        steps.append("written")
    assert steps == []


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.005)
    return holds()


def test_the_second_interrupt_ends_the_process() -> None:
    code = (
        "import os, signal, time\n"
        "from numerai_ray.system.process import finish_first, own_process, two_step_interrupts\n"
        "own_process()\n"
        "with two_step_interrupts(print), finish_first():\n"
        "    for _ in range(2):\n"
        "        os.kill(os.getpid(), signal.SIGINT); time.sleep(0.01)\n"
        "    print('never')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130
    assert "never" not in done.stdout


@pytest.mark.slow
def test_a_run_that_is_interrupted_twice_ends_at_once_and_goes_on(
    undisturbed: Desk, tmp_path: Path, market: Path
) -> None:
    desk = desk_in(tmp_path, market)
    with desk.start("--in-process") as process:
        assert wait_until(lambda: bool(desk.fits()) or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    before = desk.fits()
    assert desk.run() == 0
    assert before.items() <= desk.fits().items()
    assert desk.untimed() == undisturbed.untimed()


@pytest.mark.parametrize(
    ("end", "said"), [("os._exit(1)", True), ("os.kill(os.getpid(), 9)", True), ("1 / 0", False), ("pass", False)]
)
def test_last_words_are_said_only_of_a_process_that_was_ended(end: str, said: bool) -> None:
    """As when Ray's core ends the process in the middle of its start."""
    code = f"import os\nfrom numerai_ray.system.guard import Guard\nwith Guard('run again'):\n    {end}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ("run again" in done.stderr) == said


# --- killed for memory ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_fit_whose_process_was_killed_is_tried_again_alone() -> None:
    run, family = f"test{os.getpid()}", "ab" * 32
    killed = f"with lone_retry({run!r}, {family!r}):\n    import os; os._exit(9)"
    code = f"from numerai_ray.runners.ray.fit_tasks import lone_retry\n{killed}"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 9
    other = (
        "from numerai_ray.runners.ray.fit_tasks import lone_retry\nimport time\n"
        f"with lone_retry({run!r}, {'cd' * 32!r}):\n"
        "    print('in', flush=True); time.sleep(1)"
    )
    with subprocess.Popen([sys.executable, "-c", other], stdout=subprocess.PIPE, text=True) as beside:
        assert beside.stdout is not None
        assert beside.stdout.readline() == "in\n"
        with lone_retry(run, family) as alone:
            assert alone
            assert beside.poll() is not None or beside.wait(20) == 0, "it waited for the other fit"
    with lone_retry(run, family) as alone:
        assert not alone, "it was finished: the mark is gone"
    with lone_retry(f"{run}b", family) as alone:
        assert not alone, "another run starts without marks"
    forget_lone_retries(run)
    forget_lone_retries(f"{run}b")


@pytest.mark.ray
def test_the_message_of_a_fit_that_does_not_fit_names_numbers_and_next_steps(market: Path) -> None:
    from ray.exceptions import OutOfMemoryError, WorkerCrashedError  # noqa: PLC0415 - imports Ray

    from numerai_ray.runners.ray.fit_tasks import error_text  # noqa: PLC0415

    spec = Catalog(market).plan("a", "a", config()).fits[0]
    for error in (OutOfMemoryError("killed"), WorkerCrashedError()):
        words = error_text(error, spec)
        for part in ("memory", "4 times", "alone on their node", "GB", "15 features", "smaller feature_set"):
            assert part in words


# --- killed at random moments -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.ray
def test_killed_at_random_moments_it_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """The short form of ``python tests/support/chaos.py``: one kill of 24, a driver's; test_experiment has others."""
    import chaos  # noqa: PLC0415 - also a command of its own

    done = chaos.run(tmp_path, kills=1, seed=1, victims=("driver",))
    assert done.kills.total() == 1
    assert not done.retrained


def test_nothing_is_left_of_an_entry_whose_writer_was_killed(tmp_path: Path) -> None:
    """A partial file is no entry, and `numerai-ray store gc` names it."""
    store = FitStore(tmp_path)
    key = "ab" * 32
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / f".{key}.fit.x.partial").write_bytes(b"half")
    assert not store.has(key)
    store.put(key, StoredFit(np.zeros(2), {}))
    assert store.has(key)
