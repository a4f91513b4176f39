"""Places in the clone: its top, the package, its pages, what tests share; and the tools installed beside Python."""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "numerai_ray"
PAGES = PACKAGE / "docs"
SUPPORT = ROOT / "tests" / "support"


def tool(name: str) -> str:
    """A program of the environment that tests run in, whether or not it is on PATH."""
    return shutil.which(name, path=Path(sys.executable).parent) or name
