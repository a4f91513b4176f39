"""The ``numerai-ray`` command and what its exit codes mean."""

import atexit
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Never

import typer

from numerai_ray.cli.commands import register
from numerai_ray.errors import FitError, NumeraiRayError, shortened
from numerai_ray.progress.terminal import checked_arguments, never_raise, say
from numerai_ray.system.process import CODES, INTERRUPTED, own_process, stop_asked, two_step_interrupts

SOME_FAILED = 3


def _version(asked: bool) -> None:
    if asked:
        try:
            number = version("numerai-ray")
        except PackageNotFoundError:  # its code alone, as a Ray job carries it
            number = "(not installed)"
        say(f"numerai-ray {number}, Python {platform.python_version()}, Ray {version('ray')}")
        raise typer.Exit


def _options(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version, and leave.")
    ] = False,
) -> None:
    pass


def program(arguments: Sequence[str]) -> typer.Typer:
    """The command line, with as much of it as ``arguments`` call: what is not called is not imported."""
    app = typer.Typer(
        name="numerai-ray",
        help="Numerai research from an idea to a submitted model: rounds of one-variable experiments on Ray Tune.\n\n"
        "Start with: numerai-ray run experiments/quickstart",
        epilog="Exit codes: 0 done; 2 the request is wrong; 3 some trials failed, the rest is saved; "
        "130 interrupted (143 by SIGTERM, 129 by SIGHUP), run the same command again to go on.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    register(app, next((each for each in arguments if not each.startswith("-")), None))
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 wrong request, 3 some trials failed, 130 interrupted (143, 129)."""
    never_raise()
    if arguments is None:
        own_process()
        with two_step_interrupts():
            _leave(run())
    sys.exit(run(arguments))


def _leave(code: int) -> Never:
    """End the process as :func:`sys.exit` does, but without taking the interpreter apart.

    An interrupt while Ray starts leaves native threads of it behind, which may crash in an interpreter that is being
    taken apart: the command would then end by a signal (-11) instead of with its exit code.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads any more, or it was closed
            stream.flush()
    os._exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """The exit code of one command; every error raised on purpose is one message on stderr."""
    code = _run(arguments)
    # Also where what was stopped ended in an error of its own, as when Ray was stopped with it.
    asked = stop_asked()
    if code and asked:
        code = asked
    if code in CODES.values():
        _tell("interrupted; run the same command again to go on")
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        checked = checked_arguments(sys.argv[1:] if arguments is None else arguments)
        program(checked)(args=checked)
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except FitError as error:
        _tell(f"error: {error}")
        return SOME_FAILED
    except NumeraiRayError as error:
        _tell(f"error: {error}")
    except OSError as error:
        _tell(shortened(f"error: {error.filename or 'system'}: {error.strerror or error}"))
    return 2


def _tell(text: str) -> None:
    with suppress(OSError):  # nobody reads any more
        say(text, err=True)
