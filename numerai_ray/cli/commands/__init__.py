"""Commands, one file each; a new one is a file with ``register`` and its line here, in the order of ``--help``."""

from numerai_ray.cli.commands import (
    baseline,
    compare,
    data,
    history,
    mcp,
    models,
    new,
    plan,
    predict,
    read,
    run,
    schema,
    skills,
    store,
    submission,
    submit,
    track,
    upload,
)

COMMANDS = (
    new,
    plan,
    run,
    baseline,
    read,
    compare,
    history,
    track,
    schema,
    skills,
    mcp,
    submission,
    models,
    predict,
    upload,
    submit,
    data,
    store,
)

__all__ = ["COMMANDS"]
