"""Output that is not UTF-8: every command says what it has to say, and nothing raises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import History, finished_experiment

from numerai_ray.progress.terminal import PLAINER

COMMANDS = """
import sys
from numerai_ray.cli.main import main
for command in ({exp!r}, "status"), ({exp!r}, "leaderboard"), ({exp!r}, "compare"), ({exp!r}, "history"):
    try:
        main([*command[::-1]])
    except SystemExit as end:
        assert end.code == 0 or command[1] == "history", command
for name in "caf\\udce9", "naïve – → 日本":
    try:
        main(["run", name])
    except SystemExit as end:
        assert end.code == 2
print("– · × → ≥ 日")
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> History:
    return finished_experiment(tmp_path_factory.mktemp("streams") / "dé–mo")


@pytest.mark.parametrize(
    "encoding", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("utf-8", "latin-1")), "ascii"]
)
def test_tables_degrade_and_nothing_raises(finished: History, tmp_path: Path, encoding: str) -> None:
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    code = COMMANDS.format(exp=str(finished.paths.root))
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, timeout=120, check=False)
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert done.returncode == 0, err
    assert "Traceback" not in out + err
    assert "r05-winner" in out
    assert r"argument 2 (caf\udce9): must hold no control characters, and no bytes" in err
    assert "no experiment.yaml there" in err
    last = out.splitlines()[-1]
    if encoding == "utf-8":
        assert last == "– · × → ≥ 日"
    else:
        assert last == {"latin-1": "- · × -> >= ?", "ascii": "- - x -> >= ?"}[encoding]


def test_what_stands_for_a_character_is_ascii() -> None:
    assert all(len(each) == 1 and stands.isascii() for each, stands in PLAINER.items())
