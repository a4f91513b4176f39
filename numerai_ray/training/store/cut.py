"""Cut: which entries of a store go, so that the others have a size, found without holding them.

A sample of the entries, in the order in which they go, parts them into ranges; a pass over all of them says how many
bytes each range has, and so in which one the last entry lies that goes. That range is parted again until it is small
enough to be held and put in order. A million entries take three or four passes.
"""

import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["fit", "model", "look", "damaged", "partial"]
KINDS: dict[str, Kind] = {f".{kind}": kind for kind in get_args(Kind)}
# What somebody may ask for again.
ENTRIES = ("fit", "model", "look")
# So many entries are held at once, and so many ranges counted: two at least, or a range may stay as it is.
MOST_HELD = 20_000
RANGES = 4_000


@dataclass(frozen=True)
class StoreFile:
    """A file of a store: its name below the root, size, and age since it was written (never below 0)."""

    name: str
    size_bytes: int
    age_s: float
    kind: Kind

    @property
    def key(self) -> str:
        """The key of a fit or of a look; the name of a model, which is a fit's key or a ladder's and a length."""
        return self.name.rsplit("/", 1)[-1].split(".", 1)[0]

    @property
    def turn(self) -> "Turn":
        """Its place in the order in which entries go: models first, of either the oldest."""
        return self.kind != "model", -self.age_s, self.name


Turn = tuple[bool, float, str]
FIRST: Turn = (False, float("-inf"), "")
LAST: Turn = (True, float("inf"), "")


def beyond(entries: Callable[[], Iterable[StoreFile]], size_bytes: int) -> Iterator[StoreFile]:
    """Those that go until what stays has at most ``size_bytes``.

    Args:
        entries: called for each pass; what comes and goes meanwhile is no matter.
        size_bytes: of all that may stay: the last in the order, as many as have room.

    """
    if sum(file.size_bytes for file in entries()) <= size_bytes:
        return
    low, high, room = FIRST, LAST, size_bytes  # what goes before low goes, what goes from high on stays
    while (parts := _parts(entries, low, high)) is not None:
        weights = [0] * (len(parts) + 1)
        for file in entries():
            if low <= file.turn < high:
                weights[bisect_right(parts, file.turn)] += file.size_bytes
        while weights and weights[-1] <= room:  # ranges that stay whole
            room -= weights.pop()
            high = parts.pop() if parts else low
        low = parts[-1] if weights and parts else low
    held = []
    for file in entries():
        if file.turn < low:
            yield file
        elif file.turn < high:
            held.append(file)
    held.sort(key=lambda each: each.turn)
    while held and held[-1].size_bytes <= room:
        room -= held.pop().size_bytes
    yield from held


def _parts(entries: Callable[[], Iterable[StoreFile]], low: Turn, high: Turn) -> list[Turn] | None:
    """Turns that part a range into many of about as many entries; None where all of it may be held."""
    draw = random.Random(0)
    sample: list[Turn] = []
    count = 0
    for file in entries():
        if low <= file.turn < high:
            count += 1
            if len(sample) < RANGES:
                sample.append(file.turn)
            elif (place := draw.randrange(count)) < RANGES:
                sample[place] = file.turn
    return None if count <= MOST_HELD else sorted(sample)
