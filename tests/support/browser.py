"""Chromium without a screen: pages opened, pictures taken."""

import shutil
import subprocess
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def chromium(arguments: list[str], folder: Path) -> str:
    assert CHROMIUM is not None
    quiet = "no-first-run disable-background-networking disable-component-update disable-sync hide-scrollbars"
    flags = [f"--{flag}" for flag in ("headless", "no-sandbox", "disable-gpu", *quiet.split())]
    flags.append(f"--user-data-dir={folder}")
    done = subprocess.run([CHROMIUM, *flags, *arguments], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout
