"""Numbers between two ends: where a value stands, and which to try next. Pure; no clock, no luck.

A value's *position* is 0 at the low end and 1 at the high one, linear or logarithmic. Everything is done in
positions, so that a learning rate and a number of leaves are searched alike.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from numerai_ray.config.schema_rules import RANGE_RULES
from numerai_ray.config.validation import Section

Number = int | float
# value -> whether it must not be proposed (again)
Taken = Callable[[Any], bool]

# A list of numbers whose ends differ by this factor is spaced by factors, not by steps.
LOG_FROM_RATIO = 8
# Values are rounded to so many digits: 0.0123 says what 0.012345678 does.
DIGITS = 3
# Halving a gap more often than this only makes values that nobody can tell apart.
HALVINGS = 6


class Range(Section):
    """All numbers from ``low`` to ``high``; ``log`` spaces them by factors, ``integer`` keeps whole ones."""

    model_config = ConfigDict(json_schema_extra=RANGE_RULES)

    low: float = Field(description="Smallest number; below high.", examples=[4])
    high: float = Field(description="Largest number.", examples=[256])
    scale: Literal["linear", "log"] = Field(
        default="linear", description="Even steps, or even factors.", examples=["log"]
    )
    integer: bool = Field(default=False, description="Whole numbers only.", examples=[True])

    @model_validator(mode="after")
    def _ends(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"`low < high` must hold, but got low={self.low:g}, high={self.high:g}")
        if not math.isfinite(self.high - self.low):
            raise ValueError(f"`high - low` must be finite, but {self.high:g} - {self.low:g} is not; narrow it")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"`low > 0` must hold for scale log, but got low={self.low:g}")
        if not self._scaled(self.low) < self._scaled(self.high):
            raise ValueError(f"ends must differ in their logarithm too, but got low={self.low}, high={self.high}")
        if self.integer and (self.low % 1 or self.high % 1):
            raise ValueError(f"whole ends are needed with integer, but got low={self.low:g}, high={self.high:g}")
        return self

    def position(self, value: Number) -> float:
        """0 at the low end, 1 at the high one; a value outside stands at the nearer end."""
        inside = min(max(float(value), self.low), self.high)
        return (self._scaled(inside) - self._scaled(self.low)) / (self._scaled(self.high) - self._scaled(self.low))

    def at(self, position: float) -> Number:
        """The value at a position, rounded to what can be told apart, never outside the ends."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        found = low + min(max(position, 0.0), 1.0) * (high - low)
        value = math.exp(found) if self.scale == "log" else found
        if self.integer:
            return round(min(max(value, self.low), self.high))
        width = self.high - self.low
        digits = DIGITS - 1 - math.floor(math.log10(min(width, abs(value)) if self.scale == "log" else width))
        return min(max(_rounded(value, digits), self.low), self.high)

    def contains(self, value: Any) -> bool:
        return is_number(value) and self.low <= value <= self.high

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.scale == "log" else value


def _rounded(value: float, digits: int) -> float:
    try:
        return round(value, digits)
    except OverflowError:  # the next round number is beyond all
        return value


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def implied_range(values: Sequence[Any]) -> Range | None:
    """The range that a list of numbers spans; None for fewer than two numbers, none between, or anything else."""
    if len(values) < 2 or not all(is_number(value) for value in values):
        return None
    low, high = min(values), max(values)
    if not (float(low) < float(high) and math.isfinite(float(high) - float(low))):
        return None  # so near, or so far apart, that there is no telling what lies between
    log = low > 0 and high / low >= LOG_FROM_RATIO
    whole = all(isinstance(value, int) for value in values)
    return Range(low=float(low), high=float(high), scale="log" if log else "linear", integer=whole)


def spread(span: Range, count: int, taken: Taken) -> list[Number]:
    """``count`` values at equal distances, both ends among them; one value stands in the middle."""
    places = [0.5] if count == 1 else [each / (count - 1) for each in range(count)]
    return _distinct((span.at(place) for place in places), count, taken)


def mapped(span: Range, known: Sequence[Number], count: int, taken: Taken) -> list[Number]:
    """What a full round tries to map a range: its ends first, then the middles of the widest gaps between values."""
    return _distinct(_gap_middles(span, known), count, taken)


def refined(span: Range, best: Number, known: Sequence[Number], count: int, taken: Taken) -> list[Number]:
    """Values around the best: halfway to its neighbours on both sides, then closer and closer.

    Where the best is the outermost value known, its neighbour on that side is the end of the range.
    """
    return _distinct(_around(span, best, known), count, taken)


def _around(span: Range, best: Number, known: Sequence[Number]) -> Iterator[Number]:
    here = span.position(best)
    places = [span.position(value) for value in known]
    below = max((place for place in places if place < here), default=None)
    above = min((place for place in places if place > here), default=None)
    # With nothing known beyond, the end itself is worth a look.
    if below is None and here > 0:
        yield span.at(0.0)
    if above is None and here < 1:
        yield span.at(1.0)
    left, right = here - (0.0 if below is None else below), (1.0 if above is None else above) - here
    for halving in range(1, HALVINGS):
        yield span.at(here - left / 2**halving)
        yield span.at(here + right / 2**halving)


def _gap_middles(span: Range, known: Sequence[Number]) -> Iterator[Number]:
    places = sorted({0.0, 1.0, *(span.position(value) for value in known)})
    yield span.at(0.0)
    yield span.at(1.0)
    for _ in range(2**HALVINGS):
        low, high = max(pairwise(places), key=lambda gap: round(gap[1] - gap[0], 9))
        middle = (low + high) / 2
        yield span.at(middle)
        places = sorted([*places, middle])


def _distinct(values: Iterable[Number], count: int, taken: Taken) -> list[Number]:
    free = (value for value in dict.fromkeys(values) if not taken(value))
    return list(islice(free, count))
