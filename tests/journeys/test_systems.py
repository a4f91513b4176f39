"""Other systems and smaller installs: macOS imitated, no extra installed, Windows told at once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from bad_requests import Desk, make_market, set_desk
from imitation import EXTRAS, environment
from submission_desk import PYTHONS, needs_python

from numerai_ray.cli.main import run
from numerai_ray.runners.ray.start import object_store_bytes
from numerai_ray.submission.container.inside import runner
from numerai_ray.system.machine import resident_bytes
from numerai_ray.system.resources import Machine

GB = 10**9
# Runs commands in one process, whose start is most of what each takes; tells code, stdout and stderr of all.
COMMANDS = """
import contextlib, io, json, sys
from numerai_ray.cli.main import run
told = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    told.append([code, out.getvalue(), err.getvalue()])
json.dump(told, sys.stdout)
"""


def commands(*lines: list[str], cwd: Path, **machine: Any) -> list[tuple[int, str, str]]:
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps(lines)],
        env=environment(**machine), cwd=cwd, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [tuple(each) for each in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def market_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_market(tmp_path_factory.mktemp("market"))


@pytest.fixture
def desk(tmp_path: Path, market_root: Path) -> Desk:
    return set_desk(tmp_path, market_root)


# --- the base install -------------------------------------------------------------------------------------------

MODELS = {
    "xgboost": ({}, "xgboost"),
    "catboost": ({}, "catboost"),
    "sklearn": ({"estimator": "sklearn.linear_model:Ridge"}, "sklearn"),
    "mlp": ({}, "torch"),
}


@pytest.mark.slow
def test_without_any_extra_the_program_runs_and_each_lack_is_one_message_with_the_way_to_mend_it(desk: Desk) -> None:
    plan = yaml.safe_load((desk.exp / "experiment.yaml").read_text())

    def experiment(name: str, changes: dict[str, Any]) -> list[str]:
        folder = desk.exp.parent / name
        folder.mkdir()
        (folder / "experiment.yaml").write_text(yaml.safe_dump({**plan, **changes}))
        return ["plan", str(folder), "--data-dir", str(desk.data)]

    space = {"dimensions": {"any": {"path": "model.params.any", "values": [1, 2]}}}
    wanting = {
        name: experiment(name, {"base": {"model": {"type": name, "params": params}}, "search_space": space})
        for name, (params, _) in MODELS.items()
    }
    wrong = experiment("wrong", {"base": {"model": {"params": {"num_leafs": 4}}}})
    train = ["run", str(desk.exp), "--data-dir", str(desk.data), "--in-process", "--rounds", "1"]
    (helped, version, misspelt, tracked, trained, *lacking) = commands(
        ["--help"],
        ["--version"],
        wrong,
        [*train, "--mlflow", "sqlite:///x.db"],
        [*train, "--accept-suspect"],
        *wanting.values(),
        cwd=desk.exp.parent, hidden=EXTRAS,
    )  # fmt: skip
    assert helped[0] == version[0] == 0
    assert version[1].startswith("numerai-ray ")
    assert misspelt[0] == 2
    assert "num_leafs" in misspelt[2]
    assert "did you mean 'num_leaves'?" in misspelt[2]
    assert "scikit" not in misspelt[2]
    assert tracked[0] == 2
    assert "pip install '.[mlflow]'" in tracked[2]
    assert trained[0] == 0, trained[2]
    for (_, extra), (code, _, err) in zip(MODELS.values(), lacking, strict=True):
        assert code == 2
        assert f"pip install '.[{extra}]'" in err
        assert "Traceback" not in err


# --- macOS ------------------------------------------------------------------------------------------------------


def test_an_object_store_is_ray_s_own_size_there_unless_the_data_need_more() -> None:
    machine = Machine(8, 32 * GB, 30 * GB, 0)
    assert object_store_bytes(machine, 0, "Linux") == int(0.3 * 32 * GB)
    assert object_store_bytes(machine, 0, "Darwin") == 2 * 2**30
    assert object_store_bytes(machine, 12 * GB, "Darwin") == 12 * GB


@pytest.mark.ray
def test_ray_takes_a_large_object_store_on_macos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray's own check, which reads the variable that our start sets."""
    from ray._private import services  # noqa: PLC0415

    monkeypatch.setattr(services.sys, "platform", "darwin")
    given = services.determine_plasma_store_config(3 * 2**30, str(tmp_path), plasma_directory=str(tmp_path))
    assert given[2] == 3 * 2**30
    monkeypatch.delenv("RAY_ENABLE_MAC_LARGE_OBJECT_STORE")
    with pytest.raises(ValueError, match="RAY_ENABLE_MAC_LARGE_OBJECT_STORE"):
        services.determine_plasma_store_config(3 * 2**30, str(tmp_path), plasma_directory=str(tmp_path))


def test_peak_memory_is_told_in_bytes_on_either_system(monkeypatch: pytest.MonkeyPatch) -> None:
    here = runner.peak_bytes()
    assert 10**7 < here < 10**12
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert runner.peak_bytes() * 1024 == pytest.approx(here, rel=0.01)


def test_the_memory_of_another_process_is_known_without_proc() -> None:
    code = (
        "import sys; from pathlib import Path; sys.path.append('tests/support')\n"
        "import os, numerai_ray.system.machine as machine\n"
        "assert not hasattr(os, 'sched_getaffinity')\n"
        "m = machine.this_machine()\n"
        "print(machine.resident_bytes(os.getppid()), m.cores, m.shm_bytes <= m.memory_bytes)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(macos=True), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    resident, cores, bounded = done.stdout.split()
    assert int(resident) > 10**7
    assert int(cores) >= 1
    assert bounded == "True"
    assert resident_bytes(2**22 + 1) == 0


# LightGBM's rows go through a pipe of Linux's alone until its trees are our own.
PIPES = any("F_SETPIPE_SZ" in path.read_text() for path in (Path(runner.__file__).parents[2] / "models").glob("*.py"))
RIDGE = {"type": "sklearn", "params": {"estimator": "sklearn.linear_model:Ridge", "alpha": 10.0}}
ALPHA = {"dimensions": {"alpha": {"path": "model.params.alpha", "values": [1.0, 100.0]}}}


@needs_python
@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "changes"),
    [
        pytest.param(RIDGE, {"search_space": ALPHA}, id="sklearn", marks=pytest.mark.long),
        pytest.param(None, {}, id="lightgbm", marks=pytest.mark.skipif(PIPES, reason="needs pipes of a chosen size")),
    ],
)
def test_an_experiment_is_run_exported_and_verified_on_macos(
    desk: Desk, tmp_path: Path, model: dict[str, Any] | None, changes: dict[str, Any]
) -> None:
    """What Linux alone has is taken from the driver and from Ray's workers; the same predictions as here come of it."""
    if model is not None:
        baseline = desk.experiments / "baselines" / "tiny.yaml"
        baseline.write_text(yaml.safe_dump({**yaml.safe_load(baseline.read_text()), "model": model}))
    desk.write_plan({**changes, "budget": {"rounds": 1}})
    where, out = ["--data-dir", str(desk.data)], tmp_path / "model.pkl"
    told = commands(
        ["run", str(desk.exp), *where, "--accept-suspect"],
        ["export", str(desk.exp), *where, "--out", str(out), "--python", PYTHONS[0], "--in-process"],
        ["verify", str(out), *where],
        cwd=tmp_path, macos=True,
    )  # fmt: skip
    assert [code for code, _, _ in told] == [0, 0, 0], told
    best = sorted((desk.exp / "predictions").glob("*.parquet"))
    there = [path.read_bytes() for path in best]
    for folder in ("predictions", "results", "configs"):
        shutil.rmtree(desk.exp / folder)
    shutil.rmtree(desk.data / "store")
    assert run(["run", str(desk.exp), *where, "--accept-suspect", "--in-process"]) == 0
    assert [path.read_bytes() for path in best] == there


# --- threads ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="asks GNU's OpenMP")
@pytest.mark.slow
@pytest.mark.parametrize(("wish", "spins"), [(None, "0"), ("active", "30000000000")])
def test_threads_that_wait_do_not_spin_unless_the_user_says_so(wish: str | None, spins: str) -> None:
    """As the OpenMP tells it that LightGBM loads: it reads the variable once."""
    env = {**os.environ, "OMP_DISPLAY_ENV": "verbose"}
    env.pop("OMP_WAIT_POLICY", None)
    env |= {"OMP_WAIT_POLICY": wish} if wish else {}
    code = "import numerai_ray.models.lightgbm, lightgbm"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr


# --- Windows ----------------------------------------------------------------------------------------------------


def test_windows_is_told_of_wsl_in_one_sentence() -> None:
    code = "import os, sys, subprocess, pathlib\nos.name = 'nt'\nimport numerai_ray.cli"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: numerai-ray runs on Linux and macOS")
    assert "WSL" in done.stderr
    assert done.stderr.count("\n") == 1
    code = "import os\nos.name = 'nt'\nfrom numerai_ray import Experiment"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "WSL" in done.stderr.splitlines()[-1]
