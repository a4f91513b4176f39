"""Rounds on Ray: the only folder that imports it. A trial a variant, a task a fit, datasets shared in the object store.

Begin with :mod:`numerai_ray.runners.ray.runner`. Ray reads its
environment when it is imported: what that needs is set here, before any module of this folder can import it. ``needs``
imports no Ray.
"""

import os

# Our ledger and logs replace Tune's, trials stay in the driver's folder, an interrupt is ours to handle, and Tune
# prints nothing. What dies for want of memory is not tried for ever: the message that says what to change comes
# after FIT_RETRIES.
FIT_RETRIES = 3
for _name, _value in {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # What is asked of Ray after its end, by a thread that still shows a round, must not start another one.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    # On macOS Ray refuses a store over 2 GiB as slow; we ask for more only where the data need it.
    "RAY_ENABLE_MAC_LARGE_OBJECT_STORE": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_task_oom_retries": str(FIT_RETRIES),
    # A process that names itself keeps its variables readable, by which the guard knows it.
    "SPT_NOENV": "1",
}.items():
    os.environ.setdefault(_name, _value)

__all__ = [
    "ahead",
    "fit_tasks",
    "fold_tasks",
    "jobs",
    "monitoring",
    "needs",
    "placement",
    "runner",
    "shared_data",
    "start",
    "tune",
    "watch",
]
