"""Loads and calls a pickle as Numerai's container does, and reports what happened as JSON.

The order of steps and the checks are those of ``predict.py`` in ``numerai/numerai-predict``: ``pandas.read_pickle``,
the number of arguments from the signature, one call an era, and what the answer must be. Called as
``python runner.py REQUEST``; the request is a JSON file with ``model``, ``features``, ``benchmarks`` (or null),
``predictions`` and ``report`` (files), ``forbidden`` (modules that must not be there) and ``offline``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import resource
import sys
import threading
import time
import traceback
from importlib.metadata import distributions
from inspect import signature
from pathlib import Path
from typing import Any


class Wrong(Exception):
    """The pickle does what Numerai refuses."""


def main(request_file: Path) -> None:
    """Run the request and write its report, whatever happens."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    request = json.loads(request_file.read_text(encoding="utf-8"))
    report: dict[str, Any] = {"python": platform.python_version(), "ok": False, "step": "start", "error": None}
    if request["offline"]:
        cut_off()
    try:
        run(request, report)
        report["ok"] = True
    except Wrong as wrong:
        report["error"] = str(wrong)
    except BaseException as error:
        report["error"] = f"{type(error).__name__}: {error}"
        report["traceback"] = traceback.format_exc(limit=-6)
    report["peak_bytes"] = peak_bytes()
    report["modules"] = sorted({name.split(".", 1)[0] for name in sys.modules})
    Path(request["report"]).write_text(json.dumps(report), encoding="utf-8")


def end_with(parent: int) -> None:
    """End this process when the one that started it is gone: nobody would end it for taking too long then."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def run(request: dict[str, Any], report: dict[str, Any]) -> None:
    import pandas as pd

    report["libraries"] = {each.metadata["Name"].lower(): each.version for each in distributions()}
    there = [name for name in request["forbidden"] if importlib.util.find_spec(name)]
    if there:
        raise Wrong(f"{there[0]} can be imported here, so this proves nothing")
    at("load", request, report)
    started = time.perf_counter()
    model = pd.read_pickle(request["model"])
    report["load_s"] = time.perf_counter() - started
    at("call", request, report)
    if not callable(model):
        raise Wrong(f"the pickle must hold a function, but holds {type(model)}")
    arguments = len(signature(model).parameters)
    report["arguments"] = arguments
    if arguments not in (1, 2):
        raise Wrong(f"predict must take 1 or 2 arguments, but takes {arguments}")
    features = pd.read_parquet(request["features"])
    benchmarks = pd.read_parquet(request["benchmarks"]) if request["benchmarks"] else None
    if arguments == 2 and benchmarks is None:
        raise Wrong("predict takes live_benchmark_models, but there is no file of them")
    report["data_bytes"] = peak_bytes()

    def call(rows: Any) -> Any:
        return model(rows) if arguments == 1 else model(rows, benchmarks.loc[rows.index])  # type: ignore[union-attr]

    # The first call imports libraries and loads models, whatever the number of rows.
    started = time.perf_counter()
    call(next(rows for _, rows in features.groupby("era")))
    report["first_s"] = time.perf_counter() - started
    started = time.perf_counter()
    parts = [checked(call(rows), rows) for _, rows in features.groupby("era")]
    report["predict_s"] = time.perf_counter() - started
    report["rows"], report["eras"] = len(features), len(parts)
    result = pd.concat(parts)
    report["column"] = str(result.columns[0])
    result.iloc[:, :1].set_axis(["prediction"], axis=1).to_parquet(request["predictions"])
    if arguments == 2:
        rows = features.loc[parts[-1].index]
        report["one_argument"] = one_argument(model, rows, parts[-1])


def peak_bytes() -> int:
    """The most memory that this process held: Linux tells kilobytes, macOS bytes."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def at(step: str, request: dict[str, Any], report: dict[str, Any]) -> None:
    """Put on record what is begun: what dies with the whole process can tell nothing afterwards."""
    report["step"] = step
    Path(request["report"]).write_text(json.dumps(report), encoding="utf-8")


def checked(answer: Any, rows: Any) -> Any:
    """The answer for one era; raises for what Numerai refuses, and for another index, which it would send on."""
    import pandas as pd

    if type(answer) is not pd.DataFrame:
        raise Wrong(f"predict must return a pandas DataFrame, but returned {type(answer)}")
    if len(answer) != len(rows):
        raise Wrong(f"predict returned {len(answer)} rows for {len(rows)}")
    if not answer.shape[1]:
        raise Wrong("predict returned no column")
    if answer.isna().any().any():
        raise Wrong(f"predict returned {int(answer.isna().sum().sum())} NaN")
    first = pd.to_numeric(answer.iloc[:, 0], errors="coerce")
    if not first.between(0, 1).all():
        raise Wrong(f"predictions must lie in [0, 1], but lie in [{first.min()}, {first.max()}]")
    if not answer.index.equals(rows.index):
        raise Wrong("predict must keep the index (the ids, in their order), but returned another one")
    return answer


def one_argument(model: Any, rows: Any, expected: Any) -> str:
    """What comes of calling a model of two arguments with the first alone."""
    try:
        alone = checked(model(rows), rows)
    except (TypeError, ValueError, Wrong) as error:
        return f"needs live_benchmark_models ({error})"
    return "same predictions" if alone.equals(expected) else "other predictions"


def cut_off() -> None:
    """No network, where the system cannot take it away: every connection is refused in this process."""

    def refuse(event: str, _arguments: Any) -> None:
        if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.system"):
            raise PermissionError(f"no network here ({event})")

    sys.addaudithook(refuse)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
