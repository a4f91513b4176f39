"""Signals: SIGTERM and SIGHUP are Ctrl-C, in any phase, whoever else gets them; and nothing outlives the command."""

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from desk import CLI, Desk
from places import ROOT

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}

# A hangup ends it, also where the tests themselves run under nohup.
PRELUDE = "import os, signal, sys, time\nsignal.signal(signal.SIGHUP, signal.SIG_DFL)\n"


def python(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PRELUDE + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload,no-any-return]


# A command of which one phase gets the signal: `held` is writing, `free` is training, `plain` is all other commands.
PHASES = {
    "held": "with two_step_interrupts(print), finish_first():\n        hit(); print('written')",
    "free": "with two_step_interrupts(print), finish_first(), interruptible():\n        hit(); print('never')",
    "plain": "hit(); print('never')",
}
COMMAND = """
import numerai_ray.cli.main
from numerai_ray.system.process import finish_first, interruptible, two_step_interrupts
def hit():
    os.kill(os.getpid(), {number}); time.sleep(0.05)
def app(args):
    {phase}
sys.modules['numerai_ray.cli.main'].program = lambda arguments: app
numerai_ray.cli.main()
"""


@pytest.mark.parametrize("number", CODES)
@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_ends_any_phase_with_its_code(phase: str, number: signal.Signals) -> None:
    done = python(COMMAND.format(number=int(number), phase=PHASES[phase]))
    assert done.returncode == CODES[number], done.stderr
    assert "never" not in done.stdout
    assert ("written" in done.stdout) == (phase == "held")
    assert done.stderr == "interrupted; run the same command again to go on\n"


def test_the_second_signal_ends_at_once_with_the_code_of_the_first() -> None:
    twice = "with two_step_interrupts(print), finish_first():\n        hit(); hit(); print('never')"
    done = python(COMMAND.format(number=int(signal.SIGTERM), phase=twice))
    assert (done.returncode, "never" in done.stdout) == (143, False)


def test_a_hangup_that_nohup_ignores_stays_ignored() -> None:
    code = "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + COMMAND.format(
        number=int(signal.SIGHUP), phase="hit(); print('went on'); sys.exit(0)"
    )
    done = python(code)
    assert (done.returncode, done.stdout) == (0, "went on\n"), done.stderr


def test_a_command_outlives_its_words_to_a_terminal_that_closed(tmp_path: Path) -> None:
    """What is printed to a terminal that hung up raises; the command still ends with its code and cleans up."""
    master, slave = pty.openpty()
    phase = (
        "with two_step_interrupts(print):\n"
        "        try:\n"
        "            open('ready', 'w').close(); time.sleep(30)\n"
        "        finally:\n"
        "            print('x' * 10, flush=True); open('cleaned', 'w').close()"
    )
    code = PRELUDE + COMMAND.format(number=0, phase=phase)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True, cwd=tmp_path,
    )  # fmt: skip
    os.close(slave)
    wait((tmp_path / "ready").exists)
    os.close(master)
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 129
    assert (tmp_path / "cleaned").exists()


def test_a_library_that_takes_the_handler_gives_it_back() -> None:
    """As Ray does in its start; and what its own handler ends meanwhile ends as ours."""
    take = "signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))"
    after = f"with own_handlers():\n        {take}\n    hit(); print('never')"
    inside = f"with own_handlers():\n        {take}\n        hit(); print('never')"
    for phase in (after, inside):
        code = COMMAND.replace("finish_first,", "finish_first, own_handlers,")
        done = python(code.format(number=int(signal.SIGTERM), phase=phase))
        assert (done.returncode, done.stdout) == (143, ""), done.stderr


def test_a_signal_that_python_has_not_seen_yet_keeps_the_command_from_starting_over() -> None:
    """Ray goes with the command, and is missed, while the main thread is in another library's code."""
    phase = (
        "import ctypes, threading\n    from numerai_ray.system.process import start_over\n"
        "    def other():\n"
        "        signal.pthread_kill(threading.get_ident(), signal.SIGTERM); start_over('Ray is gone')\n"
        "    threading.Timer(0.1, other).start()\n"
        "    ctypes.CDLL(None).sleep(5)\n"
        "    print('never')"
    )
    done = python(COMMAND.format(number=0, phase=phase))
    assert done.returncode == 143
    assert "starting over" not in done.stderr


def wait(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


# The container's runner in the middle of a pickle's work, and the driver that started it.
TRIAL = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", '''
import json, sys, time
from pathlib import Path
from numerai_ray.submission.container.inside import runner
runner.run = lambda request, report: (print("runs", flush=True), time.sleep(60))
Path(sys.argv[1]).write_text(json.dumps({"offline": False, "report": sys.argv[1] + ".report"}))
runner.main(Path(sys.argv[1]))
''', sys.argv[1]], stdout=subprocess.PIPE, text=True, start_new_session=True)
print(child.pid, child.stdout.readline(), flush=True)
time.sleep(60)
"""


def test_a_pickle_on_trial_does_not_outlive_the_command_that_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TRIAL, str(tmp_path / "request.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        pid, says = driver.stdout.readline().split()
        child = psutil.Process(int(pid))
        driver.kill()
    assert says == "runs"
    assert wait(lambda: not alive([child]), 10.0)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for each in processes:
        with suppress(psutil.NoSuchProcess):  # gone while it is looked at
            if each.is_running() and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


def under_way(desk: Desk) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """A command that has trained its first fit on Ray, and all that it started."""
    process = subprocess.Popen(
        [*CLI, *desk.arguments()],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    wait(lambda: bool(desk.fits()) or process.poll() is not None, 90)
    return process, psutil.Process(process.pid).children(recursive=True)


@pytest.mark.ray
def test_a_service_that_is_stopped_with_all_its_processes_ends_at_once(tmp_path: Path, market: Path) -> None:
    """As systemd, Slurm and a closed terminal do it: Ray's processes get the signal, too."""
    desk = Desk(tmp_path, market)
    process, children = under_way(desk)
    os.killpg(process.pid, signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 143, output
    assert "starting over" not in output
    assert "Traceback" not in output
    assert wait(lambda: not alive(children), 5.0), [" ".join(each.cmdline())[-200:] for each in alive(children)]
    before = desk.fits()
    assert desk.run("--rounds", "1") == 0
    assert before.items() <= desk.fits().items()


@pytest.mark.ray
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_nothing_that_ray_started_outlives_the_command(tmp_path: Path, market: Path, number: signal.Signals) -> None:
    process, children = under_way(Desk(tmp_path, market))
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == (143 if number == signal.SIGTERM else -9), output
    assert wait(lambda: not alive(children), 5.0), [" ".join(each.cmdline())[-200:] for each in alive(children)]


@pytest.mark.ray
def test_ray_that_starts_beside_the_making_of_data_ends_with_the_command(tmp_path: Path) -> None:
    """Of the command alone: one whose Ray was stopped with it in this very second waits for it, up to 30 s."""
    shutil.copytree(ROOT / "experiments" / "quickstart", tmp_path / "quickstart")
    process = subprocess.Popen(
        [*CLI, "run", str(tmp_path / "quickstart"), "--data-dir", str(tmp_path / "data")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip

    def children() -> list[psutil.Process]:
        return psutil.Process(process.pid).children(recursive=True)

    assert wait(lambda: any("gcs_server" in " ".join(each.cmdline()[:1]) for each in alive(children())), 60)
    started = children()
    assert not (tmp_path / "quickstart" / "results" / "rounds.jsonl").exists()
    process.terminate()
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 143, output
    assert "does not start" not in output
    assert "starting over" not in output
    assert wait(lambda: not alive(started), 5.0), [" ".join(each.cmdline())[-200:] for each in alive(started)]
