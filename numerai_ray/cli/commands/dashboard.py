"""``dashboard``: a page to leave open, which shows experiments while they run and afterwards."""

import os
import re
import tempfile
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from numerai_ray.cli.options import within
from numerai_ray.errors import RequestError
from numerai_ray.progress.terminal import say

TOKEN_VARIABLE = "NUMERAI_RAY_DASHBOARD_TOKEN"
DEFAULT = "experiments"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Examples: numerai-ray dashboard · numerai-ray dashboard experiments/quickstart --no-open · "
        "numerai-ray dashboard s3://bucket/experiments"
    )(dashboard)


def dashboard(
    places: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EXP…]", help=f"Experiments or folders of them, also s3://… gs://…; else {DEFAULT}/."),
    ] = None,
    port: Annotated[
        int, typer.Option("--port", callback=within(0, 65535), help="Port to listen on; 0 is any that is free.")
    ] = 0,
    host: Annotated[
        str, typer.Option("--host", help=f"Address to listen on; beyond loopback ${TOKEN_VARIABLE} must hold a token.")
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="A name under which a proxy reaches it; may be repeated."),
    ] = None,
    path_prefix: Annotated[
        str, typer.Option("--path-prefix", metavar="/PATH", help="The path that a proxy puts before every address.")
    ] = "",
    *,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
) -> None:
    """Serve a page of experiments, live, until Ctrl-C; it reads their folders and never writes."""
    from numerai_ray.web import Access, Sources, serve
    from numerai_ray.web.guard import LEAST_TOKEN, is_loopback

    token = os.environ.get(TOKEN_VARIABLE) or None
    if token is None and not is_loopback(host):
        raise RequestError(
            f"--host {host}: others reach it there, so it asks for a token; set ${TOKEN_VARIABLE} to one, or listen on "
            f"127.0.0.1 and use a tunnel (`ssh -L`)"
        )
    if token is not None and len(token) < LEAST_TOKEN:
        raise RequestError(f"${TOKEN_VARIABLE} must have at least {LEAST_TOKEN} characters; use a longer one")
    prefix = path_prefix.rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", prefix):
        raise RequestError(f"--path-prefix must be a path like /user/me/proxy/8700, but is {path_prefix!r}")
    access = Access(host, port, frozenset(name.lower() for name in allow_host or ()), token, prefix)
    named = places or [DEFAULT]

    def ready(address: str) -> None:
        asks = f" (asks for the token in ${TOKEN_VARIABLE})" if token else ""
        say(f"dashboard of {', '.join(named)}: {address}{asks}")
        say("Ctrl-C ends it; runs go on without it")
        if open_page:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    with tempfile.TemporaryDirectory(prefix="numerai-ray-dashboard-") as cache:
        serve(Sources(named, Path(cache)), access, ready)
