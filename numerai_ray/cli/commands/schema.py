"""``schema``: what commands print with ``--json``, and what stands in the files that users write."""

import json
from functools import cache
from importlib import resources
from typing import Annotated, Any

import typer

from numerai_ray.config.json_schema import KINDS, schema_text
from numerai_ray.errors import RequestError, nearest
from numerai_ray.progress.terminal import say


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Examples: numerai-ray schema · numerai-ray schema status · numerai-ray schema --file plan")(
        schema
    )


def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[COMMAND]", help="Of this command, or config, search-space; else of all.")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="KIND", help=f"Of a file that you write: {', '.join(KINDS)}.")
    ] = None,
) -> None:
    """JSON Schema of what commands print with --json, and of the files that you write."""
    if name is not None and file is not None:
        raise RequestError(f"--file: must not stand with COMMAND, but {name!r} is given; ask for one of them")
    if file is None and name in KINDS and name not in schemas()["$defs"]:
        file = name
    if file is not None:
        if file not in KINDS:
            raise RequestError(f"--file: no kind of file {file!r}{nearest(file, KINDS)}")
        say(schema_text(file), end="")
        return
    if name in KINDS:
        say(f"note: of what `{name} --json` prints; of {KINDS[name][1]}: numerai-ray schema --file {name}", err=True)
    say(json.dumps(schemas() if name is None else schema_of(name), indent=2))


@cache
def schemas() -> dict[str, Any]:
    """All schemas, by command, below ``$defs``."""
    text = (resources.files("numerai_ray") / "docs" / "schemas.json").read_text(encoding="utf-8")
    value: dict[str, Any] = json.loads(text)
    return value


def schema_of(name: str) -> dict[str, Any]:
    """The schema of one command's JSON, complete in itself.

    Raises:
        RequestError: there is none of that name.

    """
    whole = schemas()
    if name not in whole["$defs"]:
        raise RequestError(f"COMMAND: {name!r} has no schema{nearest(name, whole['$defs'])}")
    return {**whole, "title": f"numerai-ray {name} --json", "$ref": f"#/$defs/{name.replace(' ', '%20')}"}
