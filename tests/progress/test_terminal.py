"""Text of files, arguments and servers reaches no terminal as a command to it, and no message is longer than read."""

import io
from pathlib import Path

import pytest
import yaml
from ledger_lines import decided, variant
from rich.live import Live
from rich.table import Table
from rich.text import Text

from numerai_ray.cli.main import run
from numerai_ray.config import Config, validate
from numerai_ray.errors import ConfigError, FitError, Problem, RequestError, shortened
from numerai_ray.experiment.ledger import append_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.progress.terminal import Console, harmless, say
from numerai_ray.session.opening import model_code

TITLE = "\x1b]0;owned\x07"
EVIL = {
    "title": TITLE,
    "cursor": "\x1b[2A\x1b[2K",
    "colour": "\x1b[31m",
    "one byte": "\x9b31m",
    "return": "fine\rdone",
    "bell": "\a\b",
    "turned around": "a\u202eb\u2066c",
    "half a character": "\udcff",
    "null": "\0",
}


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL.keys())
def test_control_characters_are_shown_not_sent(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(f"before {text} after")
    shown = capsys.readouterr().out
    assert shown.startswith("before ")
    assert shown.endswith(" after\n")
    assert not set(shown) & set("\x1b\x9b\r\a\b\0\u202e\u2066\udcff")
    assert shown.isprintable() or shown.replace("\n", "").isprintable()


def test_plain_text_stays_as_it_is() -> None:
    text = "Zürich\t→ naïve 日本語 🙂\nnext"
    assert harmless(text) == text
    assert harmless("a\r\nb") == "a\nb"


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL.keys())
def test_tables_and_live_views_send_their_own_controls_alone(text: str) -> None:
    def shown(name: str) -> str:
        console = Console(file=io.StringIO(), force_terminal=True, width=60)
        table = Table("variant", title=name)
        table.add_row(Text(name, style="red"))
        with Live(table, console=console, auto_refresh=False) as live:
            live.update(table, refresh=True)
        console.print(f"note: {name}")
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    assert "\x1b" in shown("plain"), "colours and a live view's cursor are rich's own"
    assert TITLE not in shown(TITLE)
    assert shown(text).count("\x1b") == shown(harmless(text)).count("\x1b")
    assert not set(shown(text)) & set("\x9b\a\0\u202e\u2066\udcff")


def test_brackets_are_no_markup() -> None:
    console = Console(file=io.StringIO(), width=60)
    console.print("error: config[/data]: :warning: [bold]wide[/bold]", highlight=False)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "error: config[/data]: :warning: [bold]wide[/bold]\n"


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL.keys())
@pytest.mark.parametrize("command", [["status", "{}"], ["{}"], ["status", "exp", "--{}"]])
def test_arguments_with_control_characters_are_refused(
    command: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([each.format(f"x{text}") for each in command]) == 2
    said = capsys.readouterr().err
    assert said.isprintable() or said.replace("\n", "").isprintable()
    assert "must hold no control characters" in said


def test_a_long_argument_is_one_short_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "a" * 100_000]) == 2
    said = capsys.readouterr().err
    assert "must be at most 4,096 characters, but is 100,000" in said
    assert len(said) < 300


def test_what_a_ledger_says_reaches_no_terminal_as_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = ExperimentPaths(tmp_path / "exp")
    record = decided(1, variant(f"num{TITLE}"))
    decision = {**vars(record.decision), "reason": f"kept {TITLE}", "winner": f"num{TITLE}"}
    append_ledger(paths.ledger, type(record)(**{**vars(record), "decision": type(record.decision)(**decision)}))
    paths.plan.write_text(yaml.safe_dump({"idea": "none"}))
    paths.lock.write_text('{"pid": "\\u001b]0;owned\\u0007", "host": "a", "since": "b"}')
    for command in (["status"], ["status", "--json"], ["leaderboard"]):
        assert run([command[0], str(paths.root), *command[1:]]) == 0
        said = capsys.readouterr()
        assert "\x1b" not in said.out + said.err


@pytest.mark.parametrize(
    "error",
    [
        RequestError(f"exp: must be short, but is {'x' * 100_000!r}; take a shorter one"),
        FitError(f"fit: the library says {'x' * 100_000}; take a shorter one"),
        ConfigError("plan.yaml", [Problem("$.idea", f"must be short, but is {'x' * 100_000}; take a shorter one")]),
    ],
)
def test_a_long_value_is_shortened_in_a_message(error: Exception) -> None:
    said = str(error)
    assert len(said) < 1100
    assert "take a shorter one" in said
    assert "characters …" in said


def test_many_problems_are_counted_not_listed() -> None:
    said = str(ConfigError("plan.yaml", [Problem("$", f"problem {number}") for number in range(10_000)]))
    assert said.startswith("plan.yaml: 10000 problems\n")
    assert "… and 9,950 more" in said
    assert len(said.splitlines()) == 52


def test_what_runs_code_is_said_before_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    official, mark = tmp_path / "config.py", tmp_path / "ran"
    official.write_text(f"open({str(mark)!r}, 'w')\nraise SystemExit(1)")
    data = tmp_path / "data"
    data.mkdir()
    command = ["train", "--config", str(official), "--output-dir", str(tmp_path / "out"), "--data-dir", str(data)]
    assert run(command) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"note: {official}: is code, and runs with your rights")
    assert mark.exists()
    assert run(["check-model", "none.py:Model"]) == 2
    assert "note: MODEL none.py:Model: is code" in capsys.readouterr().err
    pickle = tmp_path / "a.pkl"
    pickle.write_bytes(b"")
    assert run(["verify", str(pickle), "--python", "9.9"]) == 2
    assert f"note: {pickle}: is code" in capsys.readouterr().err
    members = {"a": {"model": {"type": "mine.py:Ridge"}}, "b": {}}
    config = validate(Config, {"ensemble": {"members": members}}, "c.yaml")
    assert model_code(config) == ["model.type mine.py:Ridge"]
    assert model_code(validate(Config, {}, "c.yaml")) == []


def test_a_usual_message_stays_as_it_is() -> None:
    text = "first line\n" + "y" * 999
    assert shortened(text) == text
    with pytest.raises(ConfigError) as refusal:
        validate(Config, {"data": {"version": 5}}, "c.yaml")
    assert "…" not in str(refusal.value)
