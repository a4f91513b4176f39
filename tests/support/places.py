"""Places in the clone: its top, the package, its pages, and what tests share."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "numerai_ray"
PAGES = PACKAGE / "docs"
SUPPORT = ROOT / "tests" / "support"
