"""``ray up cluster/local.yaml`` against sshd on two hosts of our own: an experiment runs there, nothing stays.

    sudo python tests/cluster/ray_up.py

Needs sshd, ssh-keygen and rsync (Debian: openssh-server, openssh-client, rsync).
"""

import re
import shutil
import sys
from pathlib import Path

from hosts import ROOT, Host, NotPermitted, network
from scenario import DATA, HEAD, S3, Stage, sums, wait_until

WORKER = "10.77.0.11"
KEY = "/root/.ssh/id_ed25519"
# `ray down` stops the head; a worker's Ray ends when it has not heard from it for a minute.
GONE_S = 120
# What the head's autoscaler has to say about a worker that does not come.
WORDS = "RAY_AUTH_MODE=token ray status; tail -n 60 /tmp/ray/session_latest/logs/monitor.*"


def main() -> int:
    for command in ("sshd", "ssh-keygen", "rsync"):
        if shutil.which(command) is None and not Path(f"/usr/sbin/{command}").exists():
            print(f"cannot run here: {command} is not installed (openssh-server, rsync)", file=sys.stderr)
            return 2
    try:
        with network() as net:
            play(Stage(net, trees=150, rounds=1))
    except NotPermitted as reason:
        print(f"cannot run here: {reason}", file=sys.stderr)
        return 2
    return 0


def play(stage: Stage) -> None:
    stage.set()
    stage.reference()
    laptop = stage.laptop
    laptop.run("mkdir", "-p", "-m", "700", "/root/.ssh")
    laptop.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY)
    hosts = [with_sshd(stage, "head", 1), with_sshd(stage, "worker", 11)]
    laptop.run(sys.executable, "-c", f"open('/root/local.yaml', 'w').write({edited()!r})")
    stage.say("sshd answers on both hosts")
    try:
        laptop.ray("get-auth-token", "--generate")
        laptop.run("chmod", "600", "/root/.ray/auth_token")
        laptop.ray("up", "-y", "--no-config-cache", "/root/local.yaml", timeout_s=300)
        stage.say("ray up: done")
        wait_until(lambda: nodes_up(hosts[0]) == 2, 120, "the worker did not join",
                   lambda: hosts[0].run("sh", "-c", WORDS, check=False).stdout)  # fmt: skip
        stage.say("head and worker are up")
        hosts[0].run("mkdir", "-p", "/root/work")
        ssh = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        laptop.run("rsync", "-a", "-e", f"ssh -i {KEY} {' '.join(ssh)}", "/tmp/work/", f"root@{HEAD}:/root/work/")
        run = f"cd /root/work && python -m numerai_ray run experiments/spread --data-dir {DATA} --address auto"
        laptop.run("ssh", "-i", KEY, *ssh, f"root@{HEAD}", run, timeout_s=400)
        there = sums(laptop, "/tmp/alone/experiments/spread/predictions")
        assert sums(hosts[0], "/root/work/experiments/spread/predictions") == there, "predictions differ"
        stage.say(f"the experiment ran on both; predictions of {len(there)} variants are equal to the byte")
    finally:
        down = laptop.ray("down", "-y", "/root/local.yaml", timeout_s=200)
        stage.say("ray down: done")
    for host in hosts:
        wait_until(lambda host=host: not left_on(host), GONE_S, f"ray down leaves something on {host.name}",
                   lambda host=host: f"{left_on(host)}\n{down.stdout}")  # type: ignore[misc]  # fmt: skip
    stage.say("ray down: nothing of Ray is left on either host")


def left_on(host: Host) -> list[str]:
    """Processes of Ray on a host."""
    lines = host.run("ps", "ax", "-o", "args").stdout.splitlines()
    return [line for line in lines if re.search(r"ray|gcs", line) and "ps ax" not in line]


def nodes_up(head: Host) -> int:
    """How many nodes the autoscaler sees, active or idle."""
    told = head.run("sh", "-c", "RAY_AUTH_MODE=token ray status", check=False).stdout
    return sum(map(int, re.findall(r"^ (\d+) local\.", told, re.M)))


def with_sshd(stage: Stage, called: str, last: int) -> Host:
    """A host that takes ssh, for the laptop's key, with this Python and the storage's keys in its environment."""
    host = stage.net.add(called, last, S3)
    # Ray asks for the way out to know its own address; the switch leads nowhere, but it is a way.
    host.run("ip", "route", "add", "default", "dev", "eth0")
    host.run("mkdir", "-p", "-m", "700", "/root/.ssh", "/run/sshd")
    host.run(
        sys.executable, "-c", f"open('/root/.ssh/authorized_keys', 'w').write({stage.laptop.read(KEY + '.pub')!r})"
    )
    host.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/hostkey")
    given = host.environment() | {"PYTHONPATH": str(ROOT)}
    names = ("PATH", "PYTHONPATH", "RAY_USAGE_STATS_ENABLED", *S3)
    values = " ".join(f'"{key}={given[key]}"' for key in names)
    # `ray up` runs its commands in a login shell, which starts from the system's PATH and reads the account's files.
    profile = "".join(f"export {key}={given[key]!r}\n" for key in names)
    host.run(
        sys.executable, "-c", f"[open('/root/' + f, 'w').write({profile!r}) for f in ('.bash_profile', '.bashrc')]"
    )
    options = [f"SetEnv={values}", "StrictModes=no", "PermitRootLogin=yes", "UsePAM=no", "PidFile=none"]
    flags = [part for option in options for part in ("-o", option)]
    host.start("/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-h", "/root/hostkey", *flags, log="/root/sshd.log")
    return host


def edited() -> str:
    """``cluster/local.yaml`` with its EDIT lines edited for these hosts, and nothing else."""
    text = (ROOT / "cluster" / "local.yaml").read_text()
    for old, new in (
        ("head_ip: 192.168.1.10 ", f"head_ip: {HEAD} "),
        ("worker_ips: [192.168.1.11]", f"worker_ips: [{WORKER}]"),
        ("ssh_user: ray ", "ssh_user: root "),
    ):
        assert old in text
        text = text.replace(old, new)
    return text


if __name__ == "__main__":
    sys.exit(main())
