"""``numerai-ray skills``: what coding agents read, put where they look for it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from numerai_ray.cli.options import JsonOption
from numerai_ray.progress.terminal import say
from numerai_ray.session.places import writable_folder
from numerai_ray.session.skills import SKILL_FILE, skills
from numerai_ray.system.files import write_text

app = typer.Typer(help="Skills for coding agents: how to plan, run, read, model and submit.", no_args_is_help=True)


def register(program: typer.Typer) -> None:
    """Add the commands to the program."""
    program.add_typer(app, name="skills")


@app.command(
    epilog="Examples: numerai-ray skills install · numerai-ray skills install --to ~/.codex/skills", name="install"
)
def install(
    to: Annotated[
        Path, typer.Option("--to", metavar="DIR", help="Where the agent looks for skills; a folder each is made there.")
    ] = Path(".claude/skills"),
    *,
    as_json: JsonOption = False,
) -> None:
    """Put every skill in place; one that is there is replaced."""
    folder = writable_folder(to.expanduser(), "--to")
    installed = []
    for skill in skills():
        file = folder / skill.name / SKILL_FILE
        write_text(file, skill.text)
        installed.append(str(file))
    if as_json:
        say(json.dumps({"folder": str(folder), "installed": installed}, indent=2))
        return
    say("\n".join(installed))


@app.command(epilog="Example: numerai-ray skills list --json", name="list")
def listed(*, as_json: JsonOption = False) -> None:
    """Name the skills, with what each is for."""
    found = [{"name": each.name, "description": each.description, "file": str(each.file)} for each in skills()]
    if as_json:
        say(json.dumps({"skills": found}, indent=2))
        return
    for each in found:
        say(f"{each['name']}: {each['description']}")
