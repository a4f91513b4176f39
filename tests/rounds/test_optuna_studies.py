"""Optuna's studies: kept in a journal or a database, the same proposals after a restart, and seen in the dashboard."""

import math
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import yaml
from browser import CHROMIUM, chromium
from desk import PLAN, Desk
from matplotlib.image import imread
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from numerai_ray.config.search_space import Dimension
from numerai_ray.errors import EnvironmentFault
from numerai_ray.rounds.optuna_studies import Archive, ScoredVariant, open_archive, open_journal, write_study
from numerai_ray.rounds.samplers import Seen

RANGE = {"path": "model.params.num_leaves", "range": {"low": 2, "high": 40, "scale": "log", "integer": True}}
# LightGBM refuses a vector of constraints of another length than the features: one of these values always fails.
WRONG = {"path": "model.params.monotone_constraints", "values": [[1, -1]]}


def plan(storage: str | None = None, seed: int = 5, **dimensions: Any) -> dict[str, Any]:
    rounds = {"proposer": "optuna", "variants": 2, "patience": 9, "seed": seed}
    rounds |= {"storage": storage} if storage else {}
    return {"search_space": {"dimensions": {"num_leaves": RANGE, **dimensions}}, "rounds": rounds}


def desk_of(root: Path, market: Path, changes: dict[str, Any]) -> Desk:
    """A desk whose plan has these dimensions only."""
    desk = Desk(root, market)
    (desk.folder / "experiment.yaml").write_text(yaml.safe_dump({**PLAN, **changes}))
    return desk


def proposed(desk: Desk) -> list[list[str]]:
    return [[each["name"] for each in record["variants"] if each["role"] == "variant"] for record in desk.rounds()]


@pytest.mark.parametrize("hangs", [False, True])
def test_a_database_that_fails_or_hangs_is_told_of_once_and_holds_no_round(
    monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    def keep(*_: object) -> None:
        tries.append(1)
        if hangs:
            time.sleep(3)
        raise OSError("cannot reach postgresql://me:hush@db/studies")

    tries: list[int] = []
    told: list[str] = []
    monkeypatch.setattr("numerai_ray.rounds.optuna_studies.keep_studies", keep)
    archive = Archive(optuna.storages.InMemoryStorage(), "small", told.append, limit_s=0.2)
    for _ in range(3):
        archive(None)  # type: ignore[arg-type]
    assert (len(told), len(tries)) == (1, 1)
    assert "rounds.storage" in told[0]
    assert "hush" not in told[0]


def test_a_database_that_cannot_be_opened_is_one_masked_line() -> None:
    with pytest.raises(EnvironmentFault, match=r"rounds\.storage: postgresql://\*\*\*@127.0.0.1:9/x: ") as fault:
        open_archive(Path(), "postgresql://me:hush@127.0.0.1:9/x", "small", print)
    assert "hush" not in str(fault.value)


@pytest.mark.slow
def test_a_database_holds_every_trial_and_a_restart_proposes_the_same(tmp_path: Path, market: Path) -> None:
    """One run of four rounds; the same plan round by round, its database lost on the way; another seed."""
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    whole = desk_of(tmp_path / "whole", market, plan(url, wrong=WRONG))
    assert whole.run("--rounds", "4") == 3, "a failed trial is told"
    stepped = desk_of(tmp_path / "stepped", market, plan(f"sqlite:///{tmp_path / 'lost.db'}", wrong=WRONG))
    for number in range(4):
        assert stepped.run("--rounds", "1") in (0, 3)
        if number == 1:
            (tmp_path / "lost.db").unlink()
    assert proposed(stepped) == proposed(whole)
    assert any(len(names) == 2 for names in proposed(whole)[1:])

    names = optuna.get_all_study_names(url)
    assert len(names) == len(set(names)) >= 2
    name = "small/all rounds"
    trials = optuna.load_study(study_name=name, storage=url).trials
    ran = {v["id"]: v for r in whole.rounds() for v in r["variants"] if v["role"] in ("base", "variant")}
    held = {each.user_attrs["variant"]: each for each in trials}
    failed = {trial for trial, each in ran.items() if each["error"]}
    assert failed
    wrong = next(each for each in names if each.startswith("small/wrong"))
    states = [each.state for each in optuna.load_study(study_name=wrong, storage=url).trials]
    assert TrialState.FAIL in states
    assert TrialState.RUNNING not in states
    for trial, each in held.items():
        metrics = ran[trial]["metrics"]
        assert each.state == (TrialState.COMPLETE if metrics else TrialState.FAIL)
        assert metrics is None or each.value == pytest.approx(metrics["bmc_last"]["mean"])
    assert not (whole.folder / "optuna.journal").exists()

    other = desk_of(tmp_path / "other", market, plan(seed=6, wrong=WRONG))
    other.run("--rounds", "4")
    assert proposed(other) != proposed(whole)
    assert (other.folder / "optuna.journal").stat().st_size > 0


def test_an_unknown_metric_is_told_fail_in_the_journal(tmp_path: Path) -> None:
    """A NaN that Optuna took for a result would leave its trial RUNNING, and its surroundings shunned."""
    dimensions = {"num_leaves": Dimension(path="model.params.num_leaves", values=[3, 7])}
    scored = [ScoredVariant("known", {"num_leaves": 3}, 0.01), ScoredVariant("unknown", {"num_leaves": 7}, math.nan)]
    journal = tmp_path / "optuna.journal"
    with warnings.catch_warnings():
        warnings.simplefilter("error", optuna.exceptions.ExperimentalWarning)  # it would show in every run
        for _ in range(2):  # the second time, as after a restart, adds nothing
            write_study(open_journal(journal), "small", "bmc", dimensions, scored)

    read = JournalStorage(JournalFileBackend(str(journal)))
    (name,) = optuna.get_all_study_names(read)
    states = {t.user_attrs["variant"]: t.state for t in optuna.load_study(study_name=name, storage=read).trials}
    assert states == {"known": TrialState.COMPLETE, "unknown": TrialState.FAIL}


def results(values: list[int]) -> Any:
    """What a search knows after some variants of one dimension."""
    dimension = Dimension(path="model.params.num_leaves", values=[3, 7, 15])
    plan = SimpleNamespace(metric="bmc_last_200_eras.mean")
    one = SimpleNamespace(number=1, dimension="num_leaves", started="2026-11-30T12:00:00+00:00", wall_s=2.0)
    one.variants = [SimpleNamespace(id=f"r{value:02d}", role="variant") for value in values]
    return SimpleNamespace(
        loaded=SimpleNamespace(space=SimpleNamespace(dimensions={"num_leaves": dimension}), plan=plan),
        history=[one],
        metrics=(),
        seen=lambda _: [Seen(value, value / 1000) for value in values],
        value=lambda _, changes: changes["num_leaves"],
        results=lambda: {f"r{value:02d}": ({"num_leaves": value}, value / 1000) for value in values},
        objectives=lambda: [() for _ in values],
    )


def held(journal: Path) -> dict[str, list[int]]:
    """The values that a journal's studies hold, as any reader of Optuna's finds them."""
    storage = JournalStorage(JournalFileBackend(str(journal)))
    studies = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
    values = [[int(trial.params["num_leaves"]) for trial in each.trials] for each in studies]
    return {re.sub(r" [0-9a-f]{4,}$", "", each.study_name): own for each, own in zip(studies, values, strict=True)}


def half_a_line(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[:-9])


def a_line_of_rubbish(journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], b"\xff{not a line\n", *lines[2:]]))


def lines_are_lost(journal: Path) -> None:
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[1:]))


def nested_without_end(journal: Path) -> None:
    journal.write_bytes(b"[" * 200_000 + b"\n" + journal.read_bytes())


def a_database(journal: Path) -> None:
    journal.write_bytes(b"SQLite format 3\0" + bytes(80) + b"\n")


def other_words(journal: Path) -> None:
    journal.write_text('{"op_code": 99}\n[]\n7\n')


@pytest.mark.parametrize(
    "damage", [half_a_line, a_line_of_rubbish, lines_are_lost, nested_without_end, a_database, other_words]
)
def test_a_damaged_journal_is_written_anew(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    journal, said = tmp_path / "optuna.journal", []
    open_archive(journal, None, "small", said.append)(results([3, 7]))
    assert not said
    damage(journal)
    open_archive(journal, None, "small", said.append)(results([3, 7, 15]))
    if damage is not lines_are_lost:  # those are written again where they are missed
        (line,) = said
        assert str(journal) in line
        assert "written anew from the ledger" in line
    assert held(journal) == {"small/num_leaves": [3, 7, 15], "small/all rounds": [3, 7, 15]}


def test_the_journal_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    journal = tmp_path / "optuna.journal"
    dimension = {"num_leaves": Dimension(path="model.params.num_leaves", values=[3, 7, 15])}
    old = [ScoredVariant("r03", {"num_leaves": 3}, 0.003)]
    write_study(open_journal(journal), "small/all dimensions", "bmc_last_200_eras", dimension, old)
    said: list[str] = []
    for _ in range(2):
        open_archive(journal, None, "small", said.append)(results([3, 7]))
    assert not said
    assert held(journal) == {"small/num_leaves": [3, 7], "small/all rounds": [3, 7]}
    open_archive(journal, None, "small", said.append)(results([3, 7, 99]))
    assert held(journal)["small/all rounds"] == [3, 7, 99], "a value that the plan does not list"


@pytest.mark.parametrize("kind", ["the link of a driver that died", "of today", "a file"])
def test_no_lock_of_optunas_holds_a_run_up(tmp_path: Path, kind: str) -> None:
    """Nobody lets go of what a driver that died has left; where its link leads nowhere Optuna waits for ever."""
    journal = tmp_path / "optuna.journal"
    lock = Path(f"{journal}.lock")
    if kind == "a file":
        lock.touch()
    else:
        lock.symlink_to("experiments/small/optuna.journal")
    if kind != "of today":
        os.utime(lock, (0, 0), follow_symlinks=False)
    keep = open_archive(journal, None, "small", print)
    at_work = threading.Thread(target=keep, args=(results([3]),), daemon=True)
    at_work.start()
    at_work.join(20)
    assert not at_work.is_alive(), "waits for a lock that nobody holds"
    assert held(journal) == {"small/num_leaves": [3], "small/all rounds": [3]}
    assert os.path.lexists(lock) == (kind == "of today")


def test_a_journal_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    other, journal, said = tmp_path / "other", tmp_path / "optuna.journal", []
    other.write_text("somebody's own\n")
    journal.symlink_to(other)
    open_archive(journal, None, "small", said.append)(results([3]))
    assert other.read_text() == "somebody's own\n"
    assert not journal.is_symlink()
    assert "symbolic link" in said[0]


def test_a_journal_that_cannot_be_written_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "optuna.journal").mkdir()
    with pytest.raises(EnvironmentFault, match=r"optuna\.journal: cannot be written \(it is no file\); move it away"):
        open_archive(tmp_path / "optuna.journal", None, "small", print)


def test_a_database_that_is_away_holds_no_run_up(tmp_path: Path) -> None:
    base, said = tmp_path / "studies.db", []
    keep = open_archive(tmp_path / "optuna.journal", f"sqlite:///{base}", "small", said.append)
    base.write_bytes(b"no database any more" * 100)
    keep(results([3]))
    assert said
    assert said[0].startswith("rounds.storage: studies are not kept any more")


SERVER = """
import sys
import optuna, optuna_dashboard
from optuna.storages.journal import JournalFileBackend
storage = optuna.storages.JournalStorage(JournalFileBackend(sys.argv[1]))
optuna_dashboard.run_server(storage, "127.0.0.1", int(sys.argv[2]))
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian package chromium)")
def test_the_journal_opens_in_optunas_dashboard(tmp_path: Path, market: Path) -> None:
    pytest.importorskip("optuna_dashboard", reason="needs optuna-dashboard (pip install '.[dashboard]')")
    desk = desk_of(tmp_path / "desk", market, plan())
    assert desk.run("--rounds", "3") == 0
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(desk.folder / "optuna.journal"), str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}/dashboard"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                time.sleep(0.2)
        picture = Path(os.environ.get("NUMERAI_RAY_PICTURES", tmp_path)) / "dashboard.png"
        wait = ["--virtual-time-budget=15000", "--window-size=1300,900"]
        dom = chromium([*wait, "--dump-dom", address], tmp_path / "profile")
        assert "small/all rounds" in dom
        chromium([*wait, f"--screenshot={picture}", f"{address}/studies/0"], tmp_path / "profile2")
        image = imread(picture)[..., :3]
        assert image.std() > 0.02, "an empty page"
    finally:
        server.terminate()
        server.wait(30)
