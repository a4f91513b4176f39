"""Ray jobs: an experiment handed to a cluster's head, to run there whether or not this machine stays awake."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numerai_ray.errors import EnvironmentFault, RequestError
from numerai_ray.runners.ray.needs import TOKEN_ADVICE, use_token

# isort: split
use_token()  # Ray looks for it when it is imported

from ray.job_submission import JobStatus, JobSubmissionClient

POLL_S = 1.0


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
            self._client = JobSubmissionClient(address)
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
            self._client.delete_job(job.id)
        runtime: dict[str, Any] = {"working_dir": str(job.folder), "env_vars": dict(job.variables)}
        if job.modules:
            runtime["py_modules"] = [str(path) for path in job.modules]
        try:
            self._client.submit_job(
                entrypoint=job.command, submission_id=job.id, runtime_env=runtime, metadata=dict(job.metadata)
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise RequestError(f"{self.address}: refuses job {job.id} ({error!s:.300})") from None
        return True

    def follow(self, job_id: str, tell: Callable[[str], None], poll_s: float = POLL_S) -> JobEnd:
        """Tell the job's log as it grows, until it ends; a connection that drops is made again.

        Raises:
            EnvironmentFault: the cluster no longer knows the job.

        """
        told = 0
        while True:
            with suppress(OSError, RuntimeError):
                status = self._client.get_job_status(job_id) if self._knows(job_id) else None
                if status is None:
                    raise EnvironmentFault(
                        f"{self.address}: no longer knows job {job_id}; its head was restarted: submit again to go on"
                    )
                text = str(self._client.get_job_logs(job_id))
                if len(text) > told:
                    tell(text[told:])
                    told = len(text)
                if status.is_terminal():
                    info = self._client.get_job_info(job_id)
                    return JobEnd(str(status.value), info.driver_exit_code, info.message or "")
            time.sleep(poll_s)

    def stop(self, job_id: str) -> bool:
        """Ask the job to stop, as an interrupt would."""
        return bool(self._client.stop_job(job_id))

    def _status(self, job_id: str) -> JobStatus | None:
        try:
            return self._client.get_job_status(job_id) if self._knows(job_id) else None
        except (OSError, RuntimeError) as error:
            raise EnvironmentFault(f"{self.address}: {error!s:.300}; try again") from None

    def _knows(self, job_id: str) -> bool:
        return any(job.submission_id == job_id for job in self._client.list_jobs())
