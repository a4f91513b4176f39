"""Ray's end: neither garbage that holds references nor what was set for later ends the command with it."""

import subprocess
import sys

import pytest

# A thread makes garbage with references in it, as one that draws a report does; it is collected wherever Python likes.
CLOSING = """
import threading
import time
from numerai_ray.runners.ray.start import disconnect
import ray

class Ring:
    pass

def draw():
    while references and not over.is_set():
        ring = Ring()
        ring.itself, ring.reference = ring, references.pop()
        kept = [[] for _ in range(50)]
        time.sleep(0.001)

ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
references = [ray.put(1) for _ in range(4000)]
over = threading.Event()
thread = threading.Thread(target=draw, daemon=True)
thread.start()
disconnect()
assert references, "garbage was made to the end"
over.set()
thread.join()
disconnect()
print("closed")
"""


@pytest.mark.ray
def test_references_in_garbage_do_not_end_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", CLOSING], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("closed\n")


# An alarm every millisecond, as the deadline of a budget sets them, while a thread lets the command start over.
STARTING_OVER = """
import os, signal, threading, time
from numerai_ray.system.process import TIMES, own_process, start_over

def again(number, frame):
    signal.setitimer(signal.ITIMER_REAL, 0.001)

own_process()
signal.signal(signal.SIGALRM, again)
again(0, None)
time.sleep(0.05)
if int(os.environ.get(TIMES, 0)) < 3:
    threading.Thread(target=start_over, args=["Ray is gone"]).start()
    time.sleep(20)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
print("started over", os.environ[TIMES], "times")
"""


def test_an_alarm_set_before_does_not_end_the_command_that_starts_over() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTING_OVER], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "started over 3 times\n"), done.stderr
