"""Folders that mean harm, or were damaged: shown as text or as damaged, never obeyed, never an error of the server."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import History, experiment
from dashboard import asked, served
from driven_page import CHROMIUM, Page, in_chromium

EVIL = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
ASKED = (
    "/api/experiments",
    "/api/status?exp=demo",
    "/api/leaderboard?exp=demo",
    "/api/overview?exp=demo",
    "/api/per-era?exp=demo&id=r01-base",
    "/api/diff?exp=demo&first=r01-base&second=r01-num_leaves%3D7",
    "/api/log?exp=demo",
    "/api/log?exp=demo&id=r01-base",
    "/api/compare?exp=demo&id=r01-base&exp=demo&id=r01-num_leaves%3D7",
    "/report?exp=demo",
)
SECRET = "do not show this"


def made(root: Path) -> History:
    history = experiment(root / "experiments" / "demo")
    history.scout("num_leaves", {7: 0.003})
    baselines = root / "experiments" / "baselines"
    baselines.mkdir()
    shutil.copy(root / "experiments" / "baseline.yaml", baselines / "small_lgbm_ender20.yaml")
    for folder in ("configs", "logs"):
        (history.paths.root / folder).mkdir()
    for name in ("r01-base", "r01-num_leaves=7"):
        history.paths.config(name).write_text("model: {type: lightgbm}\n")
        history.paths.trial_log(name).write_text("ran\n")
    history.paths.progress.write_text('{"running": null}')
    return history


def linked(path: Path) -> None:
    """A link that leads out of the experiment's folder."""
    outside = path.parents[2] / "outside.txt"
    outside.write_text(f"{SECRET}\n")
    path.symlink_to(outside)


def piped(path: Path) -> None:
    os.mkfifo(path)


def foldered(path: Path) -> None:
    path.mkdir()


def listening(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # addresses of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as made_here:
            made_here.bind(path.name)
    finally:
        os.chdir(here)


def files(history: History) -> dict[str, Path]:
    paths = history.paths
    return {
        "plan": paths.plan,
        "ledger": paths.ledger,
        "notes": paths.notes,
        "progress": paths.progress,
        "results": paths.results("r01-base"),
        "config": paths.config("r01-base"),
        "log": paths.trial_log("r01-base"),
        "report": paths.html,
        "lock": paths.lock,
    }


CONTENTS = {
    "noise": bytes(range(256)) * 50,
    "empty": b"",
    "a list": b"[1, 2]\n",
    "deep": b"[" * 100_000 + b"\n",
    "deep mappings": b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"\n",
    "a long number": b'{"number": ' + b"9" * 10_000 + b"}\n",
    "infinite": b'{"running": {"round": NaN}, "per_era": Infinity}\n',
    "half a character": b'{"at": "\\ud800", "text": "\\ud800", "idea": "\\ud800"}\n',
    "bomb": BOMB.encode(),
}
SHAPES: dict[str, Callable[[Path], None]] = {
    "a link out": linked,
    "a pipe": piped,
    "a folder": foldered,
    "a socket": listening,
}


@pytest.mark.parametrize("damage", [*CONTENTS, *SHAPES])
def test_any_file_may_be_anything(tmp_path: Path, damage: str) -> None:
    for kind in ("plan", "ledger", "notes", "progress", "results", "config", "log", "report", "lock"):
        root = tmp_path / kind
        history = made(root)
        path = files(history)[kind]
        path.unlink(missing_ok=True)
        if damage in CONTENTS:
            path.write_bytes(CONTENTS[damage])
        else:
            SHAPES[damage](path)
        found = asked(root / "experiments", tmp_path / "cache", *ASKED)
        for address, (code, value) in zip(ASKED, found, strict=True):
            assert code in (200, 404, 422), (kind, address, code, value)
            assert SECRET not in str(value), (kind, address)
        listed = found[0][1]["experiments"]
        if (kind, damage) not in {("plan", "a folder"), ("plan", "a pipe"), ("plan", "a socket")}:
            assert [each["key"] for each in listed] == ["demo"]
        if kind == "ledger" and damage != "empty":
            assert listed[0]["state"] == "damaged"
            assert "rounds.jsonl" in listed[0]["error"]


def test_texts_without_end_are_cut(tmp_path: Path) -> None:
    history = made(tmp_path)
    line = json.loads(history.paths.ledger.read_text())
    line["decision"]["reason"] = "long " * 1_000_000
    line["variants"][1]["flags"] = ["x" * 3_000_000]
    line["base_changes"] = {"k" * 1_000_000: 1}
    history.paths.ledger.write_text(json.dumps(line) + "\n")
    for code, value in asked(tmp_path / "experiments", tmp_path / "cache", *ASKED[:4]):
        assert code == 200
        assert len(json.dumps(value)) < 60_000


def test_a_file_too_large_to_be_true_is_not_read(tmp_path: Path) -> None:
    history = made(tmp_path)
    with history.paths.plan.open("ab") as handle:
        handle.truncate(2**31)
    ((code, value),) = asked(tmp_path / "experiments", tmp_path / "cache", "/api/experiments")
    assert code == 200
    assert "too large to be true" in str(value)


def test_ids_in_a_ledger_are_no_paths(tmp_path: Path) -> None:
    history = made(tmp_path)
    (tmp_path / "experiments" / "secret.json").write_text(json.dumps({"per_era": SECRET}))
    (tmp_path / "experiments" / "secret.log").write_text(SECRET)
    line = json.loads(history.paths.ledger.read_text())
    line["variants"][0]["id"] = "../../secret"
    history.paths.ledger.write_text(json.dumps(line) + "\n")
    names = ("per-era?id", "log?id", "diff?second=..%2F..%2Fsecret&first", "compare?exp=demo&id=r01-num_leaves%3D7&id")
    for name in names:
        ((code, value),) = asked(tmp_path / "experiments", tmp_path, f"/api/{name}=..%2F..%2Fsecret&exp=demo")
        assert code == 422
        assert "no id of a variant" in value["error"], name
        assert SECRET not in str(value)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian package chromium)")
def test_a_browser_shows_markup_as_text(tmp_path: Path) -> None:
    history = made(tmp_path)
    line = json.loads(history.paths.ledger.read_text().replace("num_leaves=7", EVIL.replace("/", "")))
    line["decision"]["reason"] = EVIL
    line["variants"][1] |= {"flags": [EVIL], "name": EVIL}
    line["dimension"] = EVIL
    history.paths.ledger.write_text(json.dumps(line) + "\n")
    plan = history.paths.plan.read_text().replace("idea: Wider", f'idea: "{EVIL}" #')
    history.paths.plan.write_text(plan + f'tags: ["{EVIL[:40]}"]\n')
    history.paths.notes.write_text(json.dumps({"at": EVIL, "text": EVIL}) + "\n")
    history.paths.driver_log.write_text(EVIL)
    history.paths.html.write_text(f"<h1>report</h1>{EVIL}")
    evil = tmp_path / "experiments" / EVIL.replace("/", "")[:60]
    shutil.copytree(history.paths.root, evil)

    async def work(page: Page) -> None:
        for key in ("demo", evil.name):
            await page.open(f"{address}#/")
            await page.until("document.querySelectorAll('tbody tr').length === 2")
            await page.open(f"{address}#/e/{key.replace('%', '%25')}")
            await page.until("document.querySelector('ol.rounds li') !== null")
            await page.until("document.querySelector('pre.log').textContent.includes('onerror')")
            text = await page.script("document.body.innerText")
            assert text.count("onerror") >= 3
            assert await page.script("document.querySelectorAll('main img, main script').length") == 0
            assert await page.script("window.hacked === undefined")
        await page.open(f"{address}report?exp=demo")
        await page.until("document.querySelector('h1') !== null")
        assert await page.script("window.hacked === undefined")
        refused = [each for each in page.faults() if "422" not in each and "report" not in each]
        assert not [each for each in refused if "blocked" not in each.lower()], refused

    with served(str(tmp_path / "experiments")) as address:
        in_chromium(work)
