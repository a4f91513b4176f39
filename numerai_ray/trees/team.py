"""Team: the threads of one fit. Kernels release the GIL, so plain threads run them side by side."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Team:
    """Runs a kernel on several pieces of work at once; a team of one runs them here, one after the other."""

    def __init__(self, threads: int):
        self.threads = max(1, threads)
        self._pool = ThreadPoolExecutor(self.threads, "trees") if self.threads > 1 else None

    def run(self, kernel: Callable[..., T], pieces: Iterable[tuple[Any, ...]]) -> list[T]:
        """What the kernel returns for the arguments of each piece, in their order."""
        work = list(pieces)
        if self._pool is None or len(work) == 1:
            return [kernel(*arguments) for arguments in work]
        return [future.result() for future in [self._pool.submit(kernel, *arguments) for arguments in work]]

    def shares(self, n: int, start: int = 0) -> list[tuple[int, int]]:
        """``n`` things from ``start`` in as many ranges of about one length as there are threads, none empty."""
        size = -(-n // self.threads)
        return [(start + at, start + min(n, at + size)) for at in range(0, n, size)] if n else []

    def close(self) -> None:
        """Let the threads go."""
        if self._pool is not None:
            self._pool.shutdown()
