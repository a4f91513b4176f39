"""Hosts out of namespaces: each with its own address, hostname, processes, ``/tmp``, ``/dev/shm`` and home.

They hang on a switch that has no other link: nothing that they send leaves it. A host is one process that its others
live under, so killing it is pulling the plug. Needs root and Linux; changes nothing outside.
"""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

NETWORK = "10.77.0"
ROOT = Path(__file__).resolve().parent.parent.parent
# Private on every host: what two hosts may not share is here, the rest of the file system is only read.
PRIVATE = ("/tmp", "/dev/shm", "/run", "/var/tmp", "/root")


class NotPermitted(Exception):
    """This machine does not let us make namespaces; the text says why."""


@dataclass(eq=False)
class Host:
    """One machine. ``init`` is the process that all others on it live under."""

    name: str
    address: str
    init: subprocess.Popen[bytes]
    variables: dict[str, str] = field(default_factory=dict)

    def command(self, arguments: Sequence[str]) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-n", "-m", "-u", "-p", *arguments]

    @property
    def pid(self) -> int:
        """The first process inside: ``unshare`` itself stays outside."""
        children = Path(f"/proc/{self.init.pid}/task/{self.init.pid}/children").read_text().split()
        return int(children[0])

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_", "NUMERAI_"))}
        return plain | {"PATH": path, "HOME": "/root", "RAY_USAGE_STATS_ENABLED": "0"} | self.variables

    def run(self, *arguments: str, timeout_s: float = 300, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(arguments), env=self.environment(), capture_output=True, text=True, timeout=timeout_s,
            check=False, cwd="/",
        )  # fmt: skip
        if check and done.returncode:
            said = done.stdout[-3000:] + done.stderr[-3000:]
            raise RuntimeError(f"{self.name}: {' '.join(arguments)} ended with {done.returncode}\n{said}")
        return done

    def start(self, *arguments: str, log: str | None = None) -> subprocess.Popen[bytes]:
        """Start something that stays; its output goes to ``log`` on the host, its process id beside it."""
        note = f"echo $$ > {log}.pid; " if log else ""
        line = ["sh", "-c", f'{note}exec "$@" > {log or "/dev/null"} 2>&1', "sh", *arguments]
        return subprocess.Popen(self.command(line), env=self.environment(), cwd="/")

    def python(self, code: str, timeout_s: float = 300) -> str:
        return self.run(sys.executable, "-c", code, timeout_s=timeout_s).stdout

    def numerai_ray(self, *arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "numerai_ray", *arguments, timeout_s=timeout_s)

    def ray(self, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "ray.scripts.scripts", *arguments, timeout_s=timeout_s)

    def pull_the_plug(self) -> None:
        """End every process on the host at once, as a lost spot machine does."""
        with contextlib.suppress(OSError, IndexError):
            os.kill(self.pid, signal.SIGKILL)
        self.init.kill()
        self.init.wait()

    def read(self, path: str) -> str:
        return self.run("cat", path, check=False).stdout


@dataclass(eq=False)
class Network:
    """A switch and the hosts on it."""

    switch: Host
    hosts: dict[str, Host] = field(default_factory=dict)
    _links: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, name: str, last: int, variables: Mapping[str, str] | None = None) -> Host:
        """A new host at ``10.77.0.last``; one of that name may have been there before."""
        host = _born(name, f"{NETWORK}.{last}", variables or {})
        self.hosts[name] = host
        link = next(self._links)
        here, there = f"nr{os.getpid() % 10000}h{link}", f"nr{os.getpid() % 10000}s{link}"
        _ip("link", "add", here, "type", "veth", "peer", "name", there)
        _ip("link", "set", here, "netns", str(host.pid))
        _ip("link", "set", there, "netns", str(self.switch.pid))
        host.run("ip", "link", "set", here, "name", "eth0")
        host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")
        self.switch.run("ip", "link", "set", there, "master", "switch", "up")
        return host


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A switch without a link to anything; at the end every host loses its power, and nothing is left.

    Raises:
        NotPermitted: no root, no namespaces, or the commands are missing.

    """
    for command in ("unshare", "nsenter", "ip"):
        if shutil.which(command) is None:
            raise NotPermitted(f"{command} is not installed (Debian: util-linux, iproute2)")
    try:
        net = Network(_born("switch", f"{NETWORK}.254", {}))
    except (RuntimeError, OSError) as error:
        raise NotPermitted(f"no namespaces here: {str(error).splitlines()[-1]}") from None
    try:
        try:
            net.switch.run("ip", "link", "add", "switch", "type", "bridge")
        except RuntimeError as error:
            raise NotPermitted(f"no bridge here: {str(error).splitlines()[-1]}") from None
        net.switch.run("ip", "link", "set", "switch", "up")
        yield net
    finally:
        for host in (*net.hosts.values(), net.switch):
            host.pull_the_plug()


def _born(name: str, address: str, variables: Mapping[str, str]) -> Host:
    steps = [_private_folders(), f"hostname {name}", "ip link set lo up", "touch /tmp/born"]
    # The first process is who orphans come to: with that signal ignored, the kernel buries them when they end.
    line = " && ".join([*steps, "exec env --ignore-signal=CHLD sleep infinity"])
    init = subprocess.Popen(
        ["unshare", "-n", "-m", "-u", "-p", "--fork", "--mount-proc", "--kill-child", "sh", "-c", line],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    host = Host(name, address, init, dict(variables))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if init.poll() is not None:
            said = init.stderr.read().decode() if init.stderr else ""
            raise RuntimeError(said.strip() or f"unshare ended with {init.returncode}")
        with contextlib.suppress(OSError, IndexError, subprocess.TimeoutExpired):
            if host.run("test", "-e", "/tmp/born", check=False, timeout_s=5).returncode == 0:
                return host
        time.sleep(0.05)
    init.kill()
    raise RuntimeError(f"host {name} does not start")


def _private_folders() -> str:
    """Shell: empty folders over what hosts must not share; this project and its Python stay, to be read."""
    kept = sorted({str(ROOT), sys.prefix, sys.base_prefix})
    hidden = [path for path in kept if path.startswith(tuple(f"{folder}/" for folder in PRIVATE))]
    lines = ["mount --make-rprivate /", "mount -t tmpfs tmpfs /mnt"]
    for number, path in enumerate(hidden):
        lines += [f"mkdir /mnt/{number}", f"mount --bind {path} /mnt/{number}"]
    lines += [f"mount -t tmpfs tmpfs {folder}" for folder in PRIVATE]
    for number, path in enumerate(hidden):
        lines += [f"mkdir -p {path}", f"mount --move /mnt/{number} {path}", f"mount -o remount,bind,ro {path}"]
    return " && ".join(lines)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
