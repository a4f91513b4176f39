"""Numerai's containers on this machine: their libraries, their limits, and a pickle run as they run it.

What runs inside lies in ``inside`` and imports nothing of ours.
"""

__all__ = ["containers", "environment", "interpreters", "proof", "trial_run", "verify"]
