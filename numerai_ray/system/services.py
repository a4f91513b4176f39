"""Services outside this program: how long they may take, and how their addresses are told."""

import re
import threading
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

# The longest that a service is waited for which no fit needs.
PATIENCE_S = 10.0
# A database in a file is made on first use, which takes seconds, and no other machine can hold it up.
LOCAL_S = 120.0
LONGEST_WORDS = 300


def install_hint(extra: str) -> str:
    """How to get the libraries of an extra; this project is installed from its clone."""
    return f"`pip install '.[{extra}]'` in the clone of numerai-ray"


def masked(text: str) -> str:
    """``text`` on one line of bounded length, without the passwords and keys of the URLs in it."""
    plain = re.sub(r"(\w://)[^/\s]*@", r"\1***@", " ".join(text.split()))
    plain = re.sub(r"(?i)([?&][^=&\s]*(?:pass|token|key|secret|sig)[^=&\s]*=)[^&\s]+", r"\1***", plain)
    return plain if len(plain) <= LONGEST_WORDS else f"{plain[:LONGEST_WORDS]}…"


def patience(address: str) -> float:
    """How long to wait for what is kept at an address."""
    return LOCAL_S if address.startswith("sqlite") else PATIENCE_S


def in_time(work: Callable[[], Answer], seconds: float) -> Answer:
    """What ``work`` gives, or raises; it is left to itself when it takes longer.

    A library's own limits hold for each of many attempts, and start again with every byte.

    Raises:
        TimeoutError: it takes longer.

    """
    answers: list[Answer] = []
    faults: list[BaseException] = []

    def attempt() -> None:
        try:
            answers.append(work())
        except BaseException as error:  # handed on to who waits
            faults.append(error)

    thread = threading.Thread(target=attempt, name="outside", daemon=True)
    thread.start()
    thread.join(seconds)
    if faults:
        raise faults[0]
    if not answers:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return answers[0]
