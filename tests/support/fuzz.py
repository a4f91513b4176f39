"""Fuzzer: plans, official configs, command lines and parquet files as nobody meant to write them.

Every mutation must end in a message (exit code 2), or be carried out; it must not raise, nor take 20 seconds. What is
carried out is held against an oracle where there is one. A mutation is made of its kind and its number alone, so that
one can be tried again::

    python tests/support/fuzz.py                       # 5,000 mutations
    python tests/support/fuzz.py --mutations 200 --kind parquet
    python tests/support/fuzz.py --only plan:17        # this one, with its traceback

``test_fuzz`` runs a few of them. Nothing here reaches a network or starts Ray: commands that do are left out.
"""

import argparse
import contextlib
import faulthandler
import io
import os
import random
import shutil
import socket
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # Threads that spin while they wait take a busy machine's cores: a hang could not be told from that.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from bad_requests import Desk, make_market, set_desk

from numerai_ray.cli.main import run
from numerai_ray.errors import NumeraiRayError

LONGEST_S = 20.0  # on a machine with nothing else to do
ENDS = {0, 2, 3}  # done, the request is wrong, some trials failed


class FindingError(AssertionError):
    """What a mutation brought to light."""


@dataclass(frozen=True)
class Ground:
    """What mutations start from: a market with its data files, and an experiment on it that is finished."""

    market: Path
    finished: Path


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Case:
    """One mutation: its kind and number, and a desk of its own to do damage on."""

    kind: str
    number: int
    desk: Desk
    ground: Ground
    random: random.Random
    notes: list[str] = field(default_factory=list)  # what was done, for whoever reads a finding


def ground(root: Path) -> Ground:
    """Make a market and run the desk's experiment on it."""
    market = make_market(root / "market")
    desk = set_desk(root / "desk", market)
    ended = command(desk, desk.run_arguments())
    if ended.code:
        raise RuntimeError(f"the experiment to start from does not run: {ended.err}")
    return Ground(market, desk.exp)


def command(desk: Desk, arguments: list[str]) -> Ended:
    """Run a command in the desk's folder, with nobody to answer questions; anything that it raises is let through."""
    out, err, before, stdin = io.StringIO(), io.StringIO(), Path.cwd(), sys.stdin
    os.chdir(desk.root)
    sys.stdin = io.StringIO("")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(arguments)
    finally:
        sys.stdin = stdin
        os.chdir(before)
    return Ended(code, out.getvalue(), err.getvalue())


def told(ended: Ended) -> bool:
    """Whether a command was carried out; where not, that it says so as it must.

    Raises:
        FindingError: another exit code, a traceback, or a refusal without a message.

    """
    if "Traceback (most recent call last)" in ended.out + ended.err:
        raise FindingError(f"a traceback is shown: {ended.out}{ended.err}")
    if ended.code not in ENDS:
        raise FindingError(f"ended with exit code {ended.code}: {ended.err!r}")
    if ended.code == 2 and not any(word in ended.err for word in ("error: ", "Usage: ", "─ Error ─")):
        raise FindingError(f"refused without a message: {ended.err!r}")
    return ended.code == 0


def try_one(kind: str, number: int, start: Ground) -> str:
    """Try one mutation on a desk of its own; returns how it ended, ``accepted`` or ``refused``.

    One that takes too long is tried again: a busy machine is no finding.

    Raises:
        FindingError: it ended as nothing may.

    """
    for _ in range(2):
        end, took, notes = _timed(kind, number, start)
        if took <= LONGEST_S * shares():
            return end
    raise FindingError("; ".join([f"took {took:.0f} s, twice", *notes]))


def shares() -> float:
    """How many programs share a core of this machine, at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def _timed(kind: str, number: int, start: Ground) -> tuple[str, float, list[str]]:
    """How a mutation ended, its seconds, and what was done."""
    # They are made of what is above.
    import fuzz_commands  # noqa: PLC0415
    import fuzz_parquet  # noqa: PLC0415
    import fuzz_plans  # noqa: PLC0415

    attempts = {
        "plan": fuzz_plans.attempt_plan,
        "config": fuzz_plans.attempt_config,
        "command": fuzz_commands.attempt,
        "parquet": fuzz_parquet.attempt,
    }
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        case = Case(kind, number, set_desk(Path(folder), start.market), start, random.Random(f"{kind}:{number}"))
        began = time.perf_counter()
        try:
            accepted = attempts[kind](case)
        except FindingError as finding:
            raise FindingError("; ".join([str(finding), *case.notes])) from finding
        except NumeraiRayError as error:
            if not str(error).strip():
                raise FindingError("; ".join([f"{type(error).__name__} without a message", *case.notes])) from error
            accepted = False
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise FindingError("; ".join([f"{type(error).__name__}: {error}", *case.notes])) from error
        took = time.perf_counter() - began
    return "accepted" if accepted else "refused", took, case.notes


KINDS = ("plan", "config", "command", "parquet")
TURN = ("plan", "command", "parquet", "plan", "command", "parquet", "config")  # a config is trained: it takes longest


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """No network, no variables of this machine, and no output of libraries that write past Python."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            raise ConnectionRefusedError(111, "the fuzzer has no network")
        connect(self, address)

    kept = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith(("NUMERAI", "MLFLOW", "AWS_"))}
    socket.socket.connect = refuse  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
        os.environ |= kept


def main() -> int:
    """Try many mutations, kind after kind in turn; 1 where any was a finding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=5000)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--first", type=int, default=0, help="the number that mutations of a kind begin with")
    parser.add_argument("--only", metavar="KIND:NUMBER")
    asked = parser.parse_args()
    kinds = TURN if asked.kind is None else (asked.kind,)
    numbers = {kind: count(asked.first) for kind in KINDS}
    chosen = [(kind, next(numbers[kind])) for kind in islice(cycle(kinds), asked.mutations)]
    if asked.only:
        kind, _, number = asked.only.partition(":")
        chosen = [(kind, int(number))]
    ends: Counter[str] = Counter()
    findings: list[str] = []
    root = Path(tempfile.mkdtemp(prefix="fuzz-ground-"))
    try:
        with alone():
            start = ground(root)
            for done, (kind, number) in enumerate(chosen, 1):
                # What hangs in a library hears no exception: say where, and end.
                faulthandler.dump_traceback_later(6 * LONGEST_S * shares(), exit=True)
                try:
                    ends[f"{kind}: {try_one(kind, number, start)}"] += 1
                except FindingError as error:
                    findings.append(f"{kind}:{number}")
                    ends[f"{kind}: finding"] += 1
                    print(f"\n{kind}:{number}: {error!s:.2000}", flush=True)
                    if asked.only:
                        traceback.print_exception(error)
                faulthandler.cancel_dump_traceback_later()
                if done % 100 == 0:
                    print(f"{done} of {len(chosen)}, {len(findings)} findings", flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    for name, times in sorted(ends.items()):
        print(f"{times:6} {name}")
    print(f"findings: {' '.join(findings) or 'none'}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.modules["fuzz"] = sys.modules["__main__"]  # the kinds import this very module
    sys.exit(main())
