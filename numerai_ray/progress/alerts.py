"""Alerts: one JSON object to a webhook when a round is decided, a run ends or fails, or a model does worse.

A thread of its own sends them, so a webhook that is slow or away holds nothing up: what cannot be sent soon is
dropped, and the run says at its end how many did not arrive. The address is a secret (chat services put the key into
its path), so at most its host is ever shown.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from numerai_ray.errors import EnvironmentFault, RequestError
from numerai_ray.experiment.decision import is_finished
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.progress.live_view import decided_line
from numerai_ray.progress.round_state import Best
from numerai_ray.rounds.start import RoundStart
from numerai_ray.runners.base import Progress
from numerai_ray.system.services import PATIENCE_S, in_time, masked

# One after another, so that a webhook that hangs costs a message, not the rest.
MOST_WAITING = 20

Send = Callable[[str, Mapping[str, Any]], None]


def checked_webhook(url: str) -> str:
    """``url``, which must be one that can be posted to.

    Raises:
        RequestError: it is none; the message does not repeat it.

    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        fine = False
    if not fine:
        raise RequestError("--notify must be the URL of a webhook, http://… or https://…; copy it from the service")
    return url


class Alerts:
    """Tells a webhook what a run comes to; a watcher of the run.

    Args:
        url: the webhook.
        experiment: the experiment's name.
        send: sends one object; raises :class:`EnvironmentFault` when it does not arrive.

    """

    def __init__(self, url: str, experiment: str, send: Send | None = None):
        self._url, self._experiment = url, experiment
        self._send = send or _post
        self._waiting: deque[dict[str, Any]] = deque()
        self._change = threading.Condition()
        self._over = False
        self._busy = False
        self._failed, self._why = 0, ""
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
        self._thread.start()

    def round_started(self, start: RoundStart) -> None: ...

    def trial_progress(self, progress: Progress) -> None: ...

    def round_decided(self, record: RoundRecord) -> None:
        """Tell the decision."""
        found = {"round": record.number, "stage": record.stage, "winner": record.decision.winner}
        self._tell("round_decided", decided_line(record), {**found, "gain": record.decision.gain})

    def ended(self, history: Sequence[RoundRecord]) -> None:
        """Tell that the run is over and where the experiment stands."""
        how = "finished" if is_finished(history) else "stopped, the same command goes on"
        self._tell("run_ended", f"{how}; best: {Best(history).text()}", {"rounds": len(history)})

    def failed(self, why: str) -> None:
        """Tell what ended the run before its time."""
        self._tell("run_failed", f"ended early: {why}", {})

    def trouble(self, model: str, why: str) -> None:
        """Tell that a model at Numerai does worse than it promised."""
        self._put({"text": masked(why), "event": "model_trouble", "model": model})

    def close(self, patience_s: float = PATIENCE_S) -> str | None:
        """Wait a little for what is not sent yet; returns what to say where messages did not arrive."""
        deadline = time.monotonic() + patience_s
        with self._change:
            self._over = True
            self._change.notify_all()
            while (self._waiting or self._busy) and (left := deadline - time.monotonic()) > 0:
                self._change.wait(left)
            lost = self._failed + len(self._waiting) + self._busy
            why = self._why or f"no answer within {patience_s:g} s"
        if not lost:
            return None
        host = urlsplit(self._url).hostname
        return f"--notify: {lost} message{'s' if lost > 1 else ''} to {host} did not arrive ({why})"

    def _tell(self, event: str, text: str, more: Mapping[str, Any]) -> None:
        text = f"{self._experiment}: {masked(text)}"
        self._put({"text": text, "event": event, "experiment": self._experiment, **more})

    def _put(self, value: dict[str, Any]) -> None:
        with self._change:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self._failed += 1
            self._waiting.append(value)
            self._change.notify_all()

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._waiting and not self._over:
                    self._change.wait()
                if not self._waiting:
                    return
                value = self._waiting.popleft()
                self._busy = True
            why = self._sent(value)
            with self._change:
                self._busy = False
                self._failed, self._why = self._failed + bool(why), why or self._why
                self._change.notify_all()

    def _sent(self, value: dict[str, Any]) -> str:
        """Why a message did not arrive; empty where it did."""
        try:
            in_time(lambda: self._send(self._url, value), PATIENCE_S)
        except (EnvironmentFault, TimeoutError) as error:
            return str(error)
        return ""


@contextmanager
def alerting(url: str | None, experiment: str, say: Callable[[str], None]) -> Iterator[Alerts | None]:
    """The alerts of a run, None without a ``url``; what ends the run early is told, and then raised on."""
    if url is None:
        yield None
        return
    alerts = Alerts(url, experiment)
    try:
        yield alerts
    except KeyboardInterrupt:
        alerts.failed("interrupted, the same command goes on")
        raise
    except BaseException as error:
        alerts.failed(f"{type(error).__name__}: {error}")
        raise
    finally:
        note = alerts.close()
        if note is not None:
            say(note)


def _post(url: str, value: Mapping[str, Any]) -> None:
    from numerai_ray.system.http import Patience, post_json

    post_json(url, value, Patience(connect_s=PATIENCE_S / 2, stall_s=PATIENCE_S / 2))
