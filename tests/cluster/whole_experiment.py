"""A whole experiment on hosts without a shared disk, while they die, join and are replaced.

    sudo python tests/cluster/whole_experiment.py

A laptop submits to a head with workers; data, fit store and results are on an S3 server; every one of them is a host
of its own (`hosts.py`). Mid-round the laptop is closed and comes
back to the job that went on, one worker loses its power and another one joins; then the head loses its power,
another one starts in its place, and the same command on the laptop goes on. In the end predictions equal, to the
byte, those of a run on one machine.
"""

import sys

from hosts import NotPermitted, network
from scenario import Stage


def main() -> int:
    try:
        with network() as net:
            play(Stage(net, trees=800, rounds=3))
    except NotPermitted as reason:
        print(f"cannot run here: {reason}", file=sys.stderr)
        return 2
    return 0


def play(stage: Stage) -> None:
    stage.set()
    stage.reference()
    stage.start_head()
    first = stage.start_worker("worker-1", 11)
    stage.start_worker("worker-2", 12)
    follower = stage.submit()
    done = stage.wait_for_fits(2, follower)
    stage.close_laptop()
    first.pull_the_plug()
    stage.say(f"worker-1 lost its power after {done} fits")
    follower = stage.submit_again()
    stage.start_worker("worker-3", 13)
    shares = stage.wait_for_node("10.77.0.13", follower)
    stage.say(f"worker-3 has trained; fits by node {shares}")
    for host in (stage.head, stage.net.hosts["worker-2"], stage.net.hosts["worker-3"]):
        host.pull_the_plug()
    stage.close_laptop()
    kept = stage.fits_stored()
    stage.say(f"the head and its workers lost their power after {kept} fits")
    stage.start_head()
    for number in (4, 5, 6):
        stage.start_worker(f"worker-{number}", 10 + number)
    stage.wait_for_end(stage.submit())
    stage.say("the same command went on to the end")
    stage.check_results()
    stage.say(f"cost by round: {[each.get('cost') for each in stage.status()['rounds']]}")


if __name__ == "__main__":
    sys.exit(main())
