"""Commands, one file each; a new one is a file with ``register`` and its line here, in the order of ``--help``."""

from numerai_ray.cli.commands import (
    baseline,
    compare,
    data,
    evaluate,
    models,
    plan,
    predict,
    read,
    run,
    schema,
    store,
    submission,
    submit,
    track,
    upload,
)

COMMANDS = (
    plan,
    run,
    baseline,
    read,
    compare,
    evaluate,
    track,
    schema,
    submission,
    models,
    predict,
    upload,
    submit,
    data,
    store,
)

__all__ = ["COMMANDS"]
