"""The program: what is called is imported, and nothing else; what is listed is what there is."""

import re
import subprocess
import sys

import pytest

from numerai_ray.cli.commands import COMMANDS
from numerai_ray.cli.main import run

HEAVY = ("numpy", "pandas", "pyarrow", "scipy", "pydantic", "ray", "matplotlib")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_listed_with_the_first_sentence_of_its_help(name, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    assert run([name, "--help"]) == 0
    shown = " ".join(re.sub(r"[│╭╮╰╯─]", " ", capsys.readouterr().out).split())
    assert COMMANDS[name][1] in shown


def test_a_list_of_commands_costs_no_imports() -> None:
    code = (
        "import sys\nfrom numerai_ray.cli.main import run\nrun(['--help'])\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_misspelt_command_is_told_the_nearest(capsys) -> None:
    assert run(["statsu", "experiments/quickstart"]) == 2
    assert "Did you mean 'status'?" in capsys.readouterr().err
