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


# What users and those who change the project read, by its place.
_READ = [*(ROOT / each for each in ("README.md", "AGENTS.md", "cluster/README.md")), *sorted(PAGES.glob("*.md"))]
TEXTS = {
    str(file.relative_to(ROOT)): file.read_text(encoding="utf-8")
    for file in (*_READ, *sorted(PAGES.glob("skills/*/SKILL.md")))
}
