"""Commands, one file each; a new one is a file with ``register`` and its line here, in the order of ``--help``."""

from numerai_ray.cli.commands import (
    baseline,
    compare,
    data,
    ensemble,
    evaluate,
    follow,
    models,
    plan,
    predict,
    read,
    recheck,
    run,
    schema,
    store,
    submission,
    submit,
    track,
    upload,
    weekly,
)

COMMANDS = (
    plan,
    run,
    baseline,
    read,
    recheck,
    compare,
    evaluate,
    ensemble,
    track,
    schema,
    submission,
    models,
    predict,
    upload,
    follow,
    weekly,
    submit,
    data,
    store,
)

__all__ = ["COMMANDS"]
