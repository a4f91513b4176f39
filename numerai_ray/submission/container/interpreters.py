"""Which Pythons this machine has: a container's proof needs the Python version that the container runs."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from numerai_ray.errors import EnvironmentFault
from numerai_ray.submission.container.containers import CONTAINERS

PYTHONS_VARIABLE = "NUMERAI_RAY_PYTHONS"
# Where version managers keep interpreters, relative to the home folder or absolute; VERSION stands for 3.12.
_PLACES = (
    ".pyenv/versions/VERSION*/bin/pythonVERSION",
    ".local/share/uv/python/*VERSION*/bin/pythonVERSION",
    ".asdf/installs/python/VERSION*/bin/pythonVERSION",
    "miniconda3/envs/*/bin/pythonVERSION",
    "miniforge3/envs/*/bin/pythonVERSION",
    "/opt/python*/bin/pythonVERSION",
    "/usr/local/bin/pythonVERSION",
    "/usr/bin/pythonVERSION",
)


def find_python(version: str) -> Path:
    """An interpreter of ``version`` (``3.12``) that starts and can make environments.

    Raises:
        EnvironmentFault: there is none; says which containers' versions there are instead.

    """
    found = _first_working(version)
    if found is not None:
        return found
    there = [other for other in CONTAINERS if other != version and _first_working(other)]
    instead = f"; here are {', '.join(there)}: choose one with --python" if there else ""
    raise EnvironmentFault(
        f"--python: Python {version} is not on this machine, and a pickle must be made and tried by the version that "
        f"loads it; install it (pyenv install {version}, uv python install {version}), or name its path in "
        f"${PYTHONS_VARIABLE}{instead}"
    )


@cache
def _first_working(version: str) -> Path | None:
    return next((path for path in _candidates(version) if _works(path, version)), None)


def _candidates(version: str) -> Iterator[Path]:
    for named in os.environ.get(PYTHONS_VARIABLE, "").split(os.pathsep):
        if named:
            yield Path(named)
    if ".".join(map(str, sys.version_info[:2])) == version:
        # Inside a virtual environment: the Python it was made of, so that nothing of ours comes along.
        yield Path(sys.base_prefix) / "bin" / f"python{version}"
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield Path(on_path)
    for place in _PLACES:
        pattern = place.replace("VERSION", version)
        root = Path("/") if pattern.startswith("/") else Path.home()
        yield from sorted(root.glob(pattern.lstrip("/")), reverse=True)


def _works(path: Path, version: str) -> bool:
    """Whether it runs, is of this version, and has the standard library that environments need."""
    if not re.search(r"python[\d.]*$", path.name) or not path.exists():
        return False
    code = "import ssl, venv, sys; print('.'.join(map(str, sys.version_info[:2])))"
    try:
        done = subprocess.run([path, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == version
