"""Mutated command lines: every command with any of its options and any values."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import click
import typer
from fuzz import Case, command, told
from fuzz_values import NASTY
from whole_program import app

from numerai_ray.mcp_server.server import made_server
from numerai_ray.system.http import PATIENT
from numerai_ray.web import Access, Sources
from numerai_ray.web.server import address_of, bound, make_app

# They start Ray, ask Numerai, make environments, or train for minutes: the fuzzer is no place for these.
LEFT_OUT = {"submit", "upload", "diagnose", "predict", "verify", "export", "check-model", "baseline", "data download"}
OPTIONS_LEFT_OUT = {"--mlflow", "--address", "--help", "-h", "--python", "--model-dir"}
IN_PROCESS = "--in-process"
# Small enough for a market to be made of them, or refused.
NUMBERS = ("-1", "0", "1", "2", "40", "50", "nan", "1e9", "99999999999999999999", "3.5", "")


def commands() -> dict[str, click.Command]:
    """Every command by its words."""
    found: dict[str, Any] = {}

    def walk(node: Any, words: tuple[str, ...]) -> None:
        if hasattr(node, "commands"):
            for name, each in node.commands.items():
                walk(each, (*words, name))
        else:
            found[" ".join(words)] = node

    walk(typer.main.get_command(app), ())
    return {words: each for words, each in found.items() if words not in LEFT_OUT}


def attempt(case: Case) -> bool:
    """Run a command with options and arguments drawn from what might be given."""
    draw, desk = case.random, case.desk
    if draw.random() < 0.6:  # half of them look at an experiment that has something to show
        shutil.rmtree(desk.exp)
        shutil.copytree(case.ground.finished, desk.exp)
    os.mkfifo(desk.root / "pipe")
    (desk.root / "latin.yaml").write_bytes("idea: caf\xe9".encode("latin-1"))
    places = [desk.exp, desk.experiments, desk.plan, desk.data, desk.official, desk.out, desk.root / "nowhere"]
    places += [desk.root / "pipe", desk.root / "latin.yaml", desk.version / "full.parquet", "/dev/null", "/proc/x"]
    words = sorted(commands())
    chosen = draw.choice(words)
    options, arguments = _parameters(commands()[chosen])
    given = chosen.split()
    for _ in range(arguments if draw.random() < 0.9 else draw.randrange(4)):
        given.append(str(desk.exp) if draw.random() < 0.5 else _value(draw, places))
    if "--data-dir" in options and draw.random() < 0.9:
        given += ["--data-dir", str(desk.data)]
    for name in draw.sample(sorted(options), min(len(options), draw.choice((0, 1, 1, 2, 3)))):
        given.append(name)
        if not options[name]:
            given.append(draw.choice(NUMBERS) if draw.random() < 0.4 else _value(draw, places))
    if draw.random() < 0.1:
        given.append(draw.choice(("--nothing", "-x", "--", "--json=1", "extra")))
    if IN_PROCESS in options and IN_PROCESS not in given:
        given.insert(len(chosen.split()), IN_PROCESS)
    if chosen == "data synth":  # its usual market takes longer than any mutation may
        given[2:2] = ["--eras", "40", "--rows", "50", "--features", "10"]
    if chosen == "dashboard":
        given.insert(1, "--no-open")
    given = [each.replace("\x00", "") for each in given]  # no process can be given one
    case.notes.append(f"arguments {given}")
    with _served_at_once():
        return told(command(desk, given))


@contextmanager
def _served_at_once() -> Iterator[None]:
    """Servers begin, and end without waiting to be told; nobody waits before a network is asked again."""

    def page(sources: Sources, access: Access, ready: Callable[[str], None]) -> None:
        with bound(access) as listening:
            make_app(sources, access)
            ready(address_of(access, listening))

    served = patch("numerai_ray.web.serve", page), patch("numerai_ray.mcp_server.server.serve", made_server)
    with served[0], served[1], patch.dict(vars(PATIENT), sleep=lambda _s: None):
        yield


def _parameters(each: click.Command) -> tuple[dict[str, bool], int]:
    """The options of a command, true where they take no value, and how many arguments it needs."""
    options: dict[str, bool] = {}
    arguments = 0
    for parameter in each.params:
        if parameter.param_type_name == "argument":
            arguments += 1
            continue
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name not in OPTIONS_LEFT_OUT:
                options[name] = bool(getattr(parameter, "is_flag", False))
    return options, arguments


def _value(draw: Any, places: list[Any]) -> str:
    pool = places if draw.random() < 0.5 else ["scout", "all", "model.params.num_leaves=4,5", "v5.2", *map(str, NASTY)]
    return str(draw.choice(pool))
