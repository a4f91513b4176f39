"""``schema``: what commands print with ``--json``, for programs that read it."""

import json
from functools import cache
from importlib import resources
from typing import Annotated, Any

import typer

from numerai_ray.config import nearest
from numerai_ray.errors import RequestError
from numerai_ray.progress.terminal import say


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Examples: numerai-ray schema · numerai-ray schema status · numerai-ray schema 'data info'")(
        schema
    )


def schema(
    name: Annotated[str | None, typer.Argument(metavar="[COMMAND]", help="Of this command; else of all.")] = None,
) -> None:
    """JSON Schema of what commands print with --json."""
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
