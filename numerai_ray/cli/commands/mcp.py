"""``mcp``: the same for agents, as a server of tools over stdio."""

from pathlib import Path
from typing import Annotated

import typer

from numerai_ray.cli.options import DataDirOption
from numerai_ray.errors import EnvironmentFault, RequestError
from numerai_ray.system.services import install_hint


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: claude mcp add numerai -- numerai-ray mcp --root . --data-dir data")(mcp)


def mcp(
    root: Annotated[
        Path,
        typer.Option("--root", metavar="DIR", help="Folder with experiments/; nothing outside is read or written."),
    ] = Path(),
    data_dir: DataDirOption = None,
    *,
    allow_upload: Annotated[
        bool, typer.Option("--allow-upload", help="Offer upload too; the client's user is asked each time.")
    ] = False,
) -> None:
    """Serve tools, reports and skills to an agent by the Model Context Protocol, on stdin and stdout."""
    if not root.is_dir():
        raise RequestError(f"--root: {root}: no such folder; give the one that holds experiments/")
    try:
        from numerai_ray.mcp_server.server import Desk, serve
    except ModuleNotFoundError as error:
        raise EnvironmentFault(f"mcp: the library {error.name} is missing; {install_hint('mcp')}") from None
    given = None if data_dir is None else data_dir if "://" in data_dir else str(Path(data_dir).resolve())
    serve(Desk(root, given, allow_upload))
