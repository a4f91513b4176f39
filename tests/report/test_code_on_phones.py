"""Commands in a report are wrapped, not wider than a phone."""

from pathlib import Path

import pytest
from browser import CHROMIUM
from driven_page import Page, in_chromium

from numerai_ray.report.html import with_pictures

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian package chromium)"),
]


def test_a_long_command_is_no_wider_than_the_screen(tmp_path: Path) -> None:
    command = f"numerai-ray train --config {'experiments/' * 30}ensemble.yaml --output-dir out"
    _, text = with_pictures(lambda _: f"# a\n\n```\n{command}\n```\n", "a", lambda name: tmp_path / name)
    path = tmp_path / "page.html"
    path.write_text(text, encoding="utf-8")

    async def work(page: Page) -> None:
        await page.open(path.as_uri(), "phone")
        await page.until("document.querySelector('pre') !== null")
        assert await page.script("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0

    in_chromium(work)
