"""Who trains what right now: two drivers on one store never train the same thing at the same moment.

One lock file a store, and in it one byte a family of fits, locked by the kernel while its holder trains: nothing is
left behind by a process that dies, and no clock is asked how old a claim is. The lock reaches as far as the file
system's locks do: every process of a machine, and every machine on NFS.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from numerai_ray.errors import EnvironmentFault
from numerai_ray.system.files import open_own
from numerai_ray.system.storage import Place, Url

FILE = ".claims"


@contextmanager
def claimed(root: Place, family: str) -> Iterator[None]:
    """Hold the claim on ``family`` (hex digits) while the block runs; waits for another holder to be done or dead.

    Raises:
        EnvironmentFault: the store cannot be written.

    """
    if isinstance(root, Url):  # object storage has no locks: two drivers may train one fit, and keep the same bytes
        yield
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = open_own(root / FILE, "a")
    except OSError as error:
        raise EnvironmentFault(f"{root / FILE}: cannot be written: {error.strerror}; free space or rights") from error
    with handle:
        # 2^60 bytes to choose from: two families on one byte would only wait for each other.
        fcntl.lockf(handle, fcntl.LOCK_EX, 1, int(family[:15], 16))
        yield
