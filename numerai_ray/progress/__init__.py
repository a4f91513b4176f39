"""The running round as numbers, and how it is shown: live on a terminal, in plain lines, as JSON events.

Begin with :mod:`numerai_ray.progress.round_state`. :mod:`numerai_ray.progress.terminal` is the one place that writes to
a terminal. Nothing here decides anything: a run goes the same way unwatched.
"""

__all__ = ["building", "live_view", "monitor_watch", "round_state", "terminal", "watching"]
