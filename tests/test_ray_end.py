"""Ray's end: garbage that holds references must not end the process with it."""

import subprocess
import sys

import pytest

# A thread makes garbage with references in it, as one that draws a report does; it is collected wherever Python likes.
CLOSING = """
import threading
import time
from numerai_ray.ray_start import disconnect
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
