"""Settings of calls: a name that nothing knows is refused, never passed over; an era is one however it is written."""

from collections.abc import Mapping
from typing import Any

from numerai_ray.data.columns import era_of
from numerai_ray.errors import RequestError, nearest


def check_named(kind: type, given: Mapping[str, Any], where: str) -> None:
    """Refuse what ``kind``, a ``TypedDict``, has no key for.

    Args:
        kind: what may be given.
        given: what was given.
        where: the call, for the message.

    Raises:
        RequestError: a name is unknown; says which one is near it.

    """
    known = list(kind.__annotations__)
    for name in given:
        if name not in known:
            raise RequestError(f"{where}: no setting {name!r}{nearest(name, known)}")


def first_era(given: int | str | None) -> int | None:
    """The number of the era that scores begin at; None for all.

    Raises:
        RequestError: it is no era.

    """
    number = None if given is None else era_of(given.item() if hasattr(given, "item") else given)
    if given is not None and number is None:
        raise RequestError(f"start_era: must be an era, as 575 or '0575', but is {given!r}")
    return number
