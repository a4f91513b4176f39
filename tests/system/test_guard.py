"""The guard: what was started under it ends with the process, also what that started; and nothing else does."""

import subprocess
import sys

import psutil
import pytest

# A child in a session of its own with a child, as Ray's raylet has; and one that was started before.
CODE = """
import os, subprocess, sys, time
from numerai_ray.system.guard import Guard
def start(code):
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
before = start("import time; print(flush=True); time.sleep(30)")
with Guard("never said") as guard:
    child = start("import subprocess, sys, time; sleeper = [sys.executable, '-c', 'import time; time.sleep(30)']; "
        "print(subprocess.Popen(sleeper).pid, flush=True); time.sleep(30)")
    grandchild = child.stdout.readline().strip()
before.stdout.readline()
print(before.pid, child.pid, grandchild, flush=True)
"""


def ends(pid: int, seconds: float = 25.0) -> bool:
    try:
        psutil.Process(pid).wait(seconds)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


@pytest.mark.parametrize(
    "end", ["time.sleep(30)", "guard.close(); child.wait(); time.sleep(30)"], ids=["killed", "closed"]
)
def test_what_was_started_under_the_guard_ends_with_the_process_or_when_it_is_closed(end: str) -> None:
    with subprocess.Popen([sys.executable, "-c", CODE + end], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        before, child, grandchild = map(int, process.stdout.readline().split())
        if end.startswith("time"):
            process.kill()
        assert ends(child)
        assert ends(grandchild)
        assert psutil.Process(before).is_running()
        psutil.Process(before).kill()
        process.kill()
