"""Skills: pages for coding agents in the open SKILL.md format, shipped with the package."""

from dataclasses import dataclass
from pathlib import Path

from numerai_ray.config import parse_yaml

SKILL_FILE = "SKILL.md"
DOCS = Path(__file__).resolve().parent.parent / "docs"


@dataclass(frozen=True)
class Skill:
    """A page that an agent reads when its ``description`` fits what it was asked for."""

    name: str
    description: str
    file: Path
    text: str


def skills() -> tuple[Skill, ...]:
    """All of them, by name."""
    return tuple(_read(file) for file in sorted((DOCS / "skills").glob(f"*/{SKILL_FILE}")))


def _read(file: Path) -> Skill:
    text = file.read_text(encoding="utf-8")
    _, head, _ = text.split("---\n", 2)
    values = parse_yaml(head, str(file))
    return Skill(values["name"], values["description"], file, text)
