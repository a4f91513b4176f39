"""The method: what a round runs, what its results mean, what comes next, when it is enough.

Begin with :mod:`numerai_ray.rounds.policy` (history in, next step out) and :mod:`numerai_ray.rounds.scheduler` (the
loop). ``policy``, ``focus`` and ``budget`` are pure: no clock, no disk. Nothing here imports Ray or draws a plot.
"""

__all__ = [
    "budget",
    "calibrate",
    "candidates",
    "focus",
    "forecast",
    "optuna_sampler",
    "optuna_studies",
    "parts",
    "policy",
    "recorder",
    "replication",
    "restore",
    "samplers",
    "scheduler",
    "start",
    "time_model",
    "work",
]
