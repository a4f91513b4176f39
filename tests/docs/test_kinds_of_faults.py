"""The table of faults: each kind names what shows it, and every test that a page names is there."""

import re

import pytest
from places import PAGES, ROOT

REUSE = (PAGES / "reuse.md").read_text(encoding="utf-8")
TABLE = REUSE.partition("| fault | what you see | what is lost | shown by |\n|---|---|---|---|\n")[2].partition("\n\n")[
    0
]
ROWS = {
    cells[0]: cells for cells in ([each.strip() for each in row.strip("| ").split(" | ")] for row in TABLE.splitlines())
}
FILES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}
NAME = re.compile(r"`((?:tests/support/)?\w+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("kind", ROWS)
def test_a_kind_names_what_it_shows(kind: str) -> None:
    cells = ROWS[kind]
    assert len(cells) == 4
    assert all(cells)
    assert NAME.sub("", cells[3]).strip(", ") == "", "names alone"
    assert [*NAME.finditer(cells[3])]


def test_every_kind_has_a_row_of_its_own() -> None:
    assert len(ROWS) == len(TABLE.splitlines()) > 50


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_every_test_that_is_named_is_there(page: object) -> None:
    text = (PAGES / f"{page.stem}.md").read_text(encoding="utf-8")  # type: ignore[attr-defined]
    for file, test in NAME.findall(text):
        name = file.rpartition("/")[2]
        if test:
            assert re.search(rf"^(?:    )?def {test}\(", FILES[name], re.MULTILINE), f"{file}::{test}"
        elif file.startswith("tests/"):
            assert name in FILES, file
