"""Ray jobs: an experiment handed to a cluster's head, to run there whether or not this machine stays awake."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numerai_ray.errors import EnvironmentFault, RequestError
from numerai_ray.runners.ray.needs import TOKEN_ADVICE, use_token
from numerai_ray.system.services import Answer, in_time

# isort: split
use_token()  # Ray looks for it when it is imported

from ray.job_submission import JobStatus, JobSubmissionClient

POLL_S = 1.0
# Ray's client waits for an answer without end: so long for one, and for what a job is handed to be uploaded.
ANSWER_S = 30.0
UPLOAD_S = 900.0
# A head that says nothing for as long is no longer watched; its job may well go on.
GONE_S = 600.0


@dataclass(frozen=True)
class Job:
    """What is handed over: a shell command, the folder it runs in, modules it imports, its environment."""

    id: str
    command: str
    folder: Path
    modules: Sequence[Path] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class JobEnd:
    """How a job ended: ``exit_code`` is the command's own, None where it never had one."""

    status: str
    exit_code: int | None
    message: str


class JobDesk:
    """The job server of one cluster, at the address of its dashboard.

    Raises:
        EnvironmentFault: nobody answers there.

    """

    def __init__(self, address: str):
        self.address = address
        try:
            self._client = in_time(lambda: JobSubmissionClient(address), ANSWER_S)
        except (OSError, RuntimeError, ValueError) as error:
            first = (str(error).splitlines() or [""])[0]
            if "Authentication" in str(error):
                raise EnvironmentFault(f"--address: {address}: {first:.200}; {TOKEN_ADVICE}") from None
            raise EnvironmentFault(
                f"--address: {address}: no Ray job server answers ({first:.200}); start the cluster, or open a tunnel "
                f"to its head: ssh -N -L 8265:127.0.0.1:8265 HEAD"
            ) from None

    def submit(self, job: Job) -> bool:
        """Start the job unless it runs already; a finished one of the same id makes room. Whether it was started."""
        known = self._status(job.id)
        if known is not None and not known.is_terminal():
            return False
        if known is not None:
            self._asked(lambda: self._client.delete_job(job.id))
        runtime: dict[str, Any] = {"working_dir": str(job.folder), "env_vars": dict(job.variables)}
        if job.modules:
            runtime["py_modules"] = [str(path) for path in job.modules]
        try:
            in_time(
                lambda: self._client.submit_job(
                    entrypoint=job.command, submission_id=job.id, runtime_env=runtime, metadata=dict(job.metadata)
                ),
                UPLOAD_S,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise RequestError(f"{self.address}: refuses job {job.id} ({error!s:.300})") from None
        return True

    def follow(self, job_id: str, tell: Callable[[str], None]) -> JobEnd:
        """Tell the job's log as it grows, until it ends; a connection that drops is made again.

        Raises:
            EnvironmentFault: the cluster no longer knows the job, or has not answered for :data:`GONE_S`.

        """
        told, answered = 0, time.monotonic()
        while True:
            if time.monotonic() - answered > GONE_S:
                raise EnvironmentFault(
                    f"{self.address}: no answer for {GONE_S / 60:.0f} minutes; job {job_id} may go on without this "
                    f"terminal: the same command watches it again"
                )
            with suppress(OSError, RuntimeError):
                status = in_time(lambda: self._known(job_id), ANSWER_S)
                if status is None:
                    raise EnvironmentFault(
                        f"{self.address}: no longer knows job {job_id}; its head was restarted: submit again to go on"
                    )
                answered = time.monotonic()
                text = str(in_time(lambda: self._client.get_job_logs(job_id), ANSWER_S))
                if len(text) > told:
                    tell(text[told:])
                    told = len(text)
                if status.is_terminal():
                    info = in_time(lambda: self._client.get_job_info(job_id), ANSWER_S)
                    return JobEnd(str(status.value), info.driver_exit_code, info.message or "")
            time.sleep(POLL_S)

    def _status(self, job_id: str) -> JobStatus | None:
        return self._asked(lambda: self._known(job_id))

    def _known(self, job_id: str) -> JobStatus | None:
        known = any(job.submission_id == job_id for job in self._client.list_jobs())
        return self._client.get_job_status(job_id) if known else None

    def _asked(self, request: Callable[[], Answer]) -> Answer:
        try:
            return in_time(request, ANSWER_S)
        except (OSError, RuntimeError) as error:
            raise EnvironmentFault(f"{self.address}: {error!s:.300}; try again") from None
