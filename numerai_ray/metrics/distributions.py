"""Distributions: tails and quantiles of the normal, of t and of F, by SciPy.

SciPy's special functions are imported when the first number is asked for: that takes as long as all else that a command
such as ``status`` does, which asks for none.
"""

from typing import Any


def _special() -> Any:
    from scipy import special  # noqa: PLC0415

    return special


def ndtr(x: Any) -> Any:
    """The normal's share below ``x``."""
    return _special().ndtr(x)


def ndtri(share: Any) -> Any:
    """The number that this share of the normal lies below."""
    return _special().ndtri(share)


def stdtr(degrees: Any, t: Any) -> Any:
    """The share of Student's t below ``t``."""
    return _special().stdtr(degrees, t)


def stdtrit(degrees: Any, share: Any) -> Any:
    """The number that this share of Student's t lies below."""
    return _special().stdtrit(degrees, share)


def fdtrc(above: Any, below: Any, ratio: Any) -> Any:
    """The share of F above ``ratio``, of these degrees of freedom above and below the line."""
    return _special().fdtrc(above, below, ratio)


def logsumexp(values: Any) -> Any:
    """The logarithm of the sum of what rows of ``values`` are logarithms of."""
    return _special().logsumexp(values, axis=0)
