"""The short form of `whole_experiment.py`: hosts without a shared disk, one of which loses its power."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hosts import NotPermitted, network
from scenario import Stage

# By itself Ray takes half a minute longer to give up a host without power; the long form waits for that.
SOON = {"RAY_health_check_period_ms": "500", "RAY_health_check_timeout_ms": "2000"}


@pytest.mark.cluster
@pytest.mark.slow
def test_an_experiment_on_hosts_of_which_one_dies() -> None:
    try:
        with network() as net:
            play(Stage(net, trees=150, rounds=1, ray=SOON))
    except NotPermitted as reason:
        pytest.skip(str(reason))


def play(stage: Stage) -> None:
    stage.set()
    with ThreadPoolExecutor() as pool:
        alone = pool.submit(stage.reference)
        stage.start_head()
        workers = [pool.submit(stage.start_worker, f"worker-{number}", 10 + number) for number in (1, 2)]
        first, _ = (each.result() for each in workers)
        alone.result()
    follower = stage.submit()
    done = stage.wait_for_fits(1, follower)
    stage.close_laptop()
    first.pull_the_plug()
    stage.say(f"worker-1 lost its power after {done} fits")
    follower = stage.submit_again()
    stage.wait_for_end(follower)
    stage.check_results()
