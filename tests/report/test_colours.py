"""The palette as the colour-blind see it, simulated: lines, roles and marks of good and bad stay apart."""

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from numerai_ray.report.colours import THEMES, Theme

# What is seen without one kind of cone, on linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
SEEN = {
    "all cones": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]
WHITE = [0.95047, 1.0, 1.08883]
# Distances in CIELAB: about 2 is just seen, side by side; lines also differ by dashes, and marks by shape.
APART, ROLES_APART = 9.0, 12.0


def linear(colour: str) -> npt.NDArray[np.float64]:
    values = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(colour: str, seen: str) -> npt.NDArray[np.float64]:
    """Lightness, a and b of a colour as it is seen."""
    xyz = TO_XYZ @ np.clip(SEEN[seen] @ linear(colour), 0, 1) / WHITE
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def closest(colours: list[str], seen: str) -> tuple[float, str, str]:
    return min(
        (float(np.linalg.norm(lab(a, seen) - lab(b, seen))), a, b) for a, b in combinations(dict.fromkeys(colours), 2)
    )


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
@pytest.mark.parametrize("seen", SEEN)
def test_lines_roles_and_marks_are_told_apart(theme: Theme, seen: str) -> None:
    assert closest(list(theme.series), seen) > (APART, "", "")
    assert closest(list(theme.kinds.values()), seen) > (ROLES_APART, "", "")
    assert closest([theme.page["good"], theme.page["bad"], theme.page["dim"]], seen) > (ROLES_APART, "", "")
