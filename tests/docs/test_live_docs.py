"""The commands that docs/live.md shows run as they stand there, one after the other, on a desk with a new week."""

import re
import shlex
from pathlib import Path

import pytest
from live_desk import LiveDesk
from numerai_account import PUBLIC_ID, SECRET, Account
from numerai_server import NumeraiServer

import numerai_ray
from numerai_ray.cli.main import run
from numerai_ray.data.download.fetch import EXPERIMENT_FILES

PAGE = (Path(numerai_ray.__file__).parent / "docs" / "live.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_command_runs(
    live_desk: LiveDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = live_desk.copy(tmp_path / "desk")
    desk.exp.rename(desk.exp.with_name("quickstart"))
    desk.publish(145)
    desk.arrive(135)
    (desk.data / "tiny" / "market_truth.json").unlink()
    monkeypatch.chdir(desk.root)
    monkeypatch.setenv("NUMERAI_PUBLIC_ID", PUBLIC_ID)
    monkeypatch.setenv("NUMERAI_SECRET_KEY", SECRET)
    monkeypatch.delenv("NUMERAI_RAY_DATA", raising=False)
    assert [command.split()[1] for command in COMMANDS] == ["recheck", "follow", "follow", "follow", "data", "weekly"]
    with NumeraiServer({f"tiny/{name}": desk.there / name for name in EXPERIMENT_FILES}).running() as server:
        monkeypatch.setenv("NUMERAI_RAY_API_URL", server.url)
        Account(server).add("my_model")
        for command in COMMANDS:
            program, *arguments = shlex.split(command)
            assert program == "numerai-ray"
            # Ray is not what is tried here.
            own = ["--in-process"] if arguments[0] in ("recheck", "weekly") else []
            assert run([*arguments, *own]) == 0, command
    out = capsys.readouterr().out
    assert "10 new eras scored (0121–0130)" in out
    assert "10 new eras scored (0131–0140)" in out
    assert (desk.root / "plots" / "drift-tiny.png").is_file()


def test_every_file_that_it_names_is_there() -> None:
    named = re.findall(r"`(?:python )?((?:tests|numerai_ray)/[\w/.]+?)`", PAGE)
    assert len(named) == 2
    assert not [name for name in named if not (ROOT / name).is_file()]
