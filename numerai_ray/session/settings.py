"""Settings given by name: a name that nothing knows is refused, never passed over."""

from collections.abc import Mapping
from typing import Any

from numerai_ray.config import nearest
from numerai_ray.errors import RequestError


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
