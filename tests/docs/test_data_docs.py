"""The commands that docs/data.md shows run as they stand there; its table is the one that its command prints."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from numerai_server import NumeraiServer
from places import ROOT

import numerai_ray
from numerai_ray.cli.main import run
from numerai_ray.data.download.fetch import EXPERIMENT_FILES

PAGE = (Path(numerai_ray.__file__).parent / "docs" / "data.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.splitlines()]


@pytest.fixture
def server(market: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    with NumeraiServer({f"v5.2/{name}": market / "tiny" / name for name in EXPERIMENT_FILES}).running() as server:
        monkeypatch.setenv("NUMERAI_RAY_API_URL", server.url)
        yield server


def test_every_command_runs(
    server: NumeraiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [command.split()[2] for command in COMMANDS] == ["download", "build", "info", "synth"]
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        assert program == "numerai-ray"
        assert run(arguments) == 0, command
    assert (tmp_path / "data" / "v5.2" / "full.parquet").exists()
    assert (tmp_path / "market" / "v5.3" / "market_truth.json").exists()


def test_every_file_that_it_names_is_there() -> None:
    named = re.findall(r"`(?:python )?((?:tests|numerai_ray)/[\w/.*]+?)(?: --large)?`", PAGE)
    assert len(named) >= 9
    assert not [name for name in named if not list(ROOT.glob(name))]


def test_memory_of_the_table_is_that_of_the_resource_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are the machine's that measured; the rest is arithmetic."""
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    full_size_table = importlib.import_module("full_size_table")

    shown = [row.split(" | ") for row in PAGE.splitlines() if re.match(r"\| (32|64|256) GB", row)]
    rates = (4e-9, full_size_table.Rates(1e-9, 5e-9))
    made = [
        full_size_table.line(name, machine, data, baseline, rates).split(" | ")
        for data in full_size_table.DATA
        for name, machine in full_size_table.MACHINES.items()
        for baseline in full_size_table.BASELINES
    ]
    assert [row[:7] for row in shown] == [row[:7] for row in made]
