"""Patience with a network: what is worth another try, how long anything is waited for, and what went wrong in words.

Addresses of files carry signatures and requests may carry a secret key, and libraries put both into their messages.
So nothing here repeats a library's message: :func:`network_reason` says what the operating system says.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import IncompleteRead
from typing import Any, TypeVar

import requests
import urllib3

from numerai_ray.errors import EnvironmentFault

GO_ON = "check the connection, then run the same command again: it goes on where it stopped"

T = TypeVar("T")
OnRetry = Callable[[str, float], None]  # called with the reason and the seconds until the next try


@dataclass(frozen=True)
class Patience:
    """How often something is tried, and how long for what; all times in seconds.

    ``stall_s`` is the longest silence of a server in the middle of an answer. The wait before another try starts
    with ``first_wait_s`` and doubles up to ``longest_wait_s``; ``sleep`` waits.
    """

    tries: int = 6
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    connect_s: float = 15.0
    stall_s: float = 60.0
    sleep: Callable[[float], None] = time.sleep

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after the ``failures``-th failure in a row."""
        return float(min(self.first_wait_s * 2 ** (failures - 1), self.longest_wait_s))


PATIENT = Patience()


class PassingFault(EnvironmentFault):
    """May pass by itself, so it is tried again; ``progressed``: something was gained before it."""

    def __init__(self, message: str):
        super().__init__(message)
        self.progressed = False


def patiently(attempt: Callable[[], T], patience: Patience, on_retry: OnRetry) -> T:
    """The value of ``attempt``, tried again after every :class:`PassingFault`.

    Only failures in a row count: one that comes after progress is the first again, so that a long transfer over a
    bad line ends well as long as it gets on.

    Raises:
        EnvironmentFault: ``patience.tries`` failures in a row; the message holds the last one.

    """
    failures = 0
    while True:
        try:
            return attempt()
        except PassingFault as fault:
            failures = 1 if fault.progressed else failures + 1
            if failures >= patience.tries:
                times = "once" if failures == 1 else f"{failures} times in a row"
                raise EnvironmentFault(f"{fault} (tried {times}); {GO_ON}") from None
            wait_s = patience.wait_s(failures)
            on_retry(str(fault), wait_s)
            patience.sleep(wait_s)


def network_reason(error: BaseException, patience: Patience) -> str:
    """Why a request failed, in words that hold no address and no secret."""
    causes = list(_causes(error))
    # requests' own errors are OSErrors too, without the system's words.
    told = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    if told:
        return str(told[-1]).lower()
    # A connection that took too long is a timeout as well, so it comes first.
    if any(isinstance(cause, requests.ConnectTimeout | urllib3.exceptions.ConnectTimeoutError) for cause in causes):
        return f"no connection within {patience.connect_s:g} s"
    if any(isinstance(cause, TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError) for cause in causes):
        return f"it sent nothing for {patience.stall_s:g} s"
    # One that sends pieces and closes between two of them is http.client's to tell.
    if any(isinstance(cause, IncompleteRead) for cause in causes):
        return "it closed the connection too early"
    if any(isinstance(cause, ValueError) for cause in causes):
        return "its answer cannot be read"
    return "the connection broke"


def post_json(url: str, value: Mapping[str, Any], patience: Patience = PATIENT) -> None:
    """Send one JSON object, once; a redirection is not followed, for it may lead the object elsewhere.

    Raises:
        EnvironmentFault: it did not arrive; the message holds no part of the address, which may be a secret.

    """
    limits = (patience.connect_s, patience.stall_s)
    try:
        with requests.post(url, json=value, timeout=limits, allow_redirects=False, stream=True) as answer:
            code = answer.status_code
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise EnvironmentFault(network_reason(error, patience)) from None
    if not 200 <= code < 300:
        raise EnvironmentFault(f"it answers {code}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and everything it was raised from, wherever the libraries keep it."""
    pending, seen = [error], set()
    while pending:
        cause = pending.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        # urllib3 keeps the reason of its last try in an attribute, requests the error it wraps in its arguments.
        inner = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        pending.extend(each for each in inner if isinstance(each, BaseException))
