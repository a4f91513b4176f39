"""The ``numerai-ray`` command and what its exit codes mean."""

import atexit
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Never

import typer

from numerai_ray.cli import (
    baseline_command,
    compare_command,
    data_commands,
    model_commands,
    plan_commands,
    predict_commands,
    read_commands,
    run_commands,
    schema_command,
    store_commands,
    submission_commands,
    submit_command,
    track_command,
    upload_command,
)
from numerai_ray.cli.terminal import checked_arguments, say
from numerai_ray.errors import FitError, NumeraiRayError, shortened
from numerai_ray.start_over import own_process

INTERRUPTED = 130
SOME_FAILED = 3

app = typer.Typer(
    name="numerai-ray",
    help="Numerai research from an idea to a submitted model: rounds of one-variable experiments on Ray Tune.\n\n"
    "Start with: numerai-ray run experiments/quickstart",
    epilog="Exit codes: 0 done; 2 the request is wrong; 3 some trials failed, the rest is saved; "
    "130 interrupted, run the same command again to go on.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
plan_commands.register(app)
run_commands.register(app)
baseline_command.register(app)
read_commands.register(app)
compare_command.register(app)
track_command.register(app)
schema_command.register(app)
submission_commands.register(app)
model_commands.register(app)
predict_commands.register(app)
upload_command.register(app)
submit_command.register(app)
app.add_typer(data_commands.app, name="data")
app.add_typer(store_commands.app, name="store")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 wrong request, 3 some trials failed, 130 interrupted."""
    if arguments is None:
        own_process()
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
    try:
        app(args=checked_arguments(sys.argv[1:] if arguments is None else arguments))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
        if code == INTERRUPTED:
            say("interrupted; run the same command again to go on", err=True)
        return code
    except FitError as error:
        say(f"error: {error}", err=True)
        return SOME_FAILED
    except NumeraiRayError as error:
        say(f"error: {error}", err=True)
    except OSError as error:
        say(shortened(f"error: {error.filename or 'system'}: {error.strerror or error}"), err=True)
    return 2
