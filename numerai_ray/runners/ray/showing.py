"""Showing of rounds to Tune, in a thread of its own: no round waits for what only shows it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import ray

from numerai_ray.runners.ray.fit_tasks import Waits
from numerai_ray.system.timeline import span
from numerai_ray.training.spec import VariantPlan

# The longest that the first round's trials are shown after its fits have begun.
FIRST_FIT_S = 15.0
# Core-seconds of this machine from the beginning of one round's showing to that of the next: a process for its trials,
# which imports Ray Tune, takes two of them and more, as many as all fits of many a round.
EVERY_CORE_S = 40.0
# The longest that the end waits for Tune to say its last words: on a Ray that ends with this process, and on a cluster,
# which another runner of this process may want to leave for another one.
LAST_WORDS_S, LAST_WORDS_ON_A_CLUSTER_S = 10.0, 60.0


class Showing:
    """Rounds of one Ray, shown one after the other; those that are over before their turn comes are left out.

    A trial's process, Tune itself and its import take as long as many fits, and have nothing to tell before the first
    of them: they come after it. The next begins :data:`EVERY_CORE_S` after that at the soonest. A fault of theirs
    loses nothing.
    """

    def __init__(self, trial_dir: Path, cores: int, run_id: str):
        self._trial_dir, self._at_once, self._run_id = trial_dir, max(1, cores // 2), run_id
        self._every_s = EVERY_CORE_S / cores
        self._last: threading.Thread | None = None
        self._first = True
        self._began = -self._every_s
        self._ends = threading.Event()

    def show(self, plans: Sequence[VariantPlan], waits: Waits) -> None:
        """Show a round once the one before has been; ``waits`` are by trial."""
        thread = threading.Thread(target=self._show, args=(plans, waits, self._last), name="tune", daemon=True)
        self._last = thread
        thread.start()

    def end(self, patience_s: float = LAST_WORDS_S) -> bool:
        """Let Tune finish what it shows now; whether it has."""
        last, self._last, self._first = self._last, None, True
        self._ends.set()
        if last is not None:
            last.join(patience_s)
        self._ends = threading.Event()
        return last is None or not last.is_alive()

    def _show(self, plans: Sequence[VariantPlan], waits: Waits, before: threading.Thread | None) -> None:
        try:
            if before is not None:
                before.join()
            if self._first:
                first = {ref for folds in waits.values() for ref, _ in folds}
                ray.wait(list(first), timeout=FIRST_FIT_S)
                self._first = False
            else:
                self._ends.wait(self._began + self._every_s - time.monotonic())
                if self._last is not threading.current_thread():
                    return  # the rounds went on meanwhile, or ended
            self._began = time.monotonic()
            with span("imports"):
                from numerai_ray.runners.ray.tune import run_trials  # noqa: PLC0415
            with span("shown by Tune"):
                run_trials(plans, waits, self._trial_dir, self._at_once, self._run_id)
        except (Exception, SystemExit) as error:
            logging.getLogger("ray.tune").warning("the round is not shown to its end: %s", error)
