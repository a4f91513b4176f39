"""A pickle on its way: sent, registered, validated, assigned. Each step is checked, and told to the caller."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from numerai_ray.errors import EnvironmentFault, RequestError
from numerai_ray.submission.numerai.account import Numerai, Offer, PickleState, Slot
from numerai_ray.system.http import PATIENT, OnRetry, Patience
from numerai_ray.system.transfer import OnSent, put_file

LOG_LINES = 40


@dataclass(frozen=True)
class Waiting:
    """How long to wait for Numerai's validation; seconds."""

    first_s: float = 5.0
    longest_s: float = 30.0
    limit_s: float = 1800.0
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Watch:
    """Who is told what: a step, a try that failed, bytes sent."""

    step: Callable[[str], None] = lambda _: None
    retry: OnRetry = lambda _why, _wait_s: None
    sent: OnSent = lambda _done, _all: None


@dataclass(frozen=True)
class UploadOrder:
    """What goes where; with ``trigger`` a test run is asked for at the end."""

    pickle: Path
    slot: Slot
    image: Offer
    data_version: Offer
    assign: bool = True
    trigger: bool = False
    patience: Patience = field(default=PATIENT)
    waiting: Waiting = field(default=Waiting())


def upload(order: UploadOrder, numerai: Numerai, watch: Watch) -> PickleState:
    """Send the pickle and see it through; the state it ends in.

    Raises:
        RequestError: Numerai refuses a step, or the pickle failed validation: the message holds its log.
        EnvironmentFault: the file could not be sent, or Numerai has not decided within the time limit.

    """
    watch.step(f"sending {order.pickle.name}")
    address = numerai.address(order.pickle.name, order.slot)
    put_file(order.pickle, address.url, order.patience, watch.retry, watch.sent)
    pickle_id = numerai.register(address.filename, order.slot, order.image, order.data_version)
    watch.step(f"sent as {pickle_id}; Numerai validates it on {order.image.name}, data {order.data_version.name}")
    state = validated(pickle_id, order, numerai, watch)
    if order.assign:
        numerai.assign(pickle_id, order.slot)
        watch.step(f"assigned to {order.slot.name}")
    if order.trigger:
        numerai.trigger(pickle_id, order.slot)
        watch.step("asked for a test run")
    return numerai.pickle(pickle_id, order.slot) or state


def validated(pickle_id: str, order: UploadOrder, numerai: Numerai, watch: Watch) -> PickleState:
    """Wait until Numerai has tried the pickle.

    Raises:
        RequestError: it failed; the message ends with the log of why.
        EnvironmentFault: still undecided after the limit; the upload itself stands.

    """
    waiting = order.waiting
    end, pause = waiting.now() + waiting.limit_s, waiting.first_s
    while True:
        state = numerai.pickle(pickle_id, order.slot)
        if state is not None and state.passed:
            watch.step("validated")
            return state
        if state is not None and state.failed:
            raise RequestError(_failure(state, order, numerai))
        if waiting.now() + pause > end:
            now = "not listed yet" if state is None else state.validation
            raise EnvironmentFault(
                f"{order.pickle.name}: Numerai has not decided within {waiting.limit_s:.0f} s (it is {now}); the "
                f"upload stands as {pickle_id}: look again with `numerai-ray upload --status {pickle_id} --model "
                f"{order.slot.name}`"
            )
        waiting.sleep(pause)
        pause = min(pause * 1.5, waiting.longest_s)


def _failure(state: PickleState, order: UploadOrder, numerai: Numerai) -> str:
    said = f"{order.pickle.name}: Numerai's validation says {state.validation!r}; nothing was assigned"
    try:
        log = numerai.logs(state)
    except (RequestError, EnvironmentFault) as error:
        return f"{said}, and its log cannot be read ({error})"
    lines = [*state.said, *log][-LOG_LINES:]
    return f"{said}. Its log:\n" + "\n".join(f"  {line}" for line in lines) if lines else f"{said}; there is no log"
