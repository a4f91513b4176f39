"""The process that talks to Weights & Biases: jobs in, a line out for each that is done.

Its library starts a service of its own, hooks the interpreter's end and waits for a network as long as it likes; here
it holds nobody up, for whoever started this process ends it. Jobs are JSON, a line each; so are answers.
"""

import contextlib
import json
import sys
from collections.abc import Mapping
from typing import IO, Any

from numerai_ray.system.json_text import parse_json

# So long its own client tries; who started this process waits a little longer.
REQUEST_S = 8


def _check(wandb: Any) -> None:
    """Whether an account is known; nothing is asked of the network."""
    try:
        known = wandb.login(timeout=REQUEST_S)
    except Exception as error:
        raise RuntimeError(f"{error}; or set WANDB_MODE=offline") from None
    if not known:
        raise RuntimeError("no API key: run `wandb login`, set WANDB_API_KEY, or WANDB_MODE=offline")


def _write(wandb: Any, job: Mapping[str, Any]) -> None:
    """One run: its configuration, rows of values, a summary, files."""
    settings = wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        save_code=False,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        init_timeout=REQUEST_S,
        login_timeout=REQUEST_S,
        x_graphql_timeout_seconds=REQUEST_S,
        x_graphql_retry_max=1,
        x_file_stream_retry_max=1,
        x_file_transfer_retry_max=1,
        finish_timeout=REQUEST_S,
        finish_timeout_raises=True,
    )
    names = ("entity", "project", "dir", "id", "name", "group", "job_type", "tags", "config")
    run = wandb.init(**{name: job[name] for name in names}, resume="allow", settings=settings)
    run.define_metric(job["step"])
    run.define_metric("*", step_metric=job["step"])
    for row in job["rows"]:
        run.log(row)
    run.summary.update(job["summary"])
    for file in job["files"]:
        run.save(file, base_path=job["base"], policy="now")
    run.finish()


def main(jobs: IO[str], answers: IO[str]) -> None:
    """Do jobs until there are none; a fault ends it."""

    def answer(**value: object) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        import wandb  # noqa: PLC0415

        answer(done="begun")
        for line in jobs:
            job = parse_json(line)
            if job["kind"] == "check":
                _check(wandb)
            else:
                _write(wandb, job)
            answer(done=job["id"])
    except Exception as error:  # whatever its library raises is told to who started this process
        answer(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    # What its library prints is for nobody.
    own = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        main(sys.stdin, own)
