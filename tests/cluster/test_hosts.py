"""The short form of `whole_experiment.py`: hosts without a shared disk, one of which loses its power."""

import pytest
from hosts import NotPermitted, network
from scenario import Stage


@pytest.mark.cluster
@pytest.mark.slow
def test_an_experiment_on_hosts_of_which_one_dies() -> None:
    try:
        with network() as net:
            play(Stage(net, trees=150, rounds=1))
    except NotPermitted as reason:
        pytest.skip(str(reason))


def play(stage: Stage) -> None:
    stage.set()
    stage.reference()
    stage.start_head()
    first = stage.start_worker("worker-1", 11)
    stage.start_worker("worker-2", 12)
    follower = stage.submit()
    done = stage.wait_for_fits(1, follower)
    stage.close_laptop()
    first.pull_the_plug()
    stage.say(f"worker-1 lost its power after {done} fits")
    follower = stage.submit_again()
    stage.wait_for_end(follower)
    stage.check_results()
