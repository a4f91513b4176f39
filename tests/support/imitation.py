"""Starts a program of ours as on another machine (see ``imitated/sitecustomize.py``)."""

import os

from places import ROOT, SUPPORT

IMITATED = SUPPORT / "imitated"
# Everything that only an extra brings, and what only the tests use.
EXTRAS = ("sklearn", "xgboost", "catboost", "mlflow", "mcp", "optuna_dashboard", "torch", "sqlparse", "numerai_tools")


def environment(*, hidden: tuple[str, ...] = (), macos: bool = False) -> dict[str, str]:
    """The variables of such a machine, for the program and all that it starts."""
    path = os.pathsep.join(filter(None, (str(IMITATED), str(ROOT), os.environ.get("PYTHONPATH"))))
    system = {"NUMERAI_TEST_SYSTEM": "macos"} if macos else {}
    return {**os.environ, **system, "PYTHONPATH": path, "NUMERAI_TEST_HIDDEN": ",".join(hidden)}
