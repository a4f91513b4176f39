"""Plain files: what is read from its first byte to its last.

A pipe keeps its reader waiting for ever, a device may never end, and a folder has no bytes: each is named at once,
before it is opened.
"""

import stat
from pathlib import Path

_OTHERS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def plain_file(path: Path) -> Path:
    """``path`` itself, if a file is there.

    Raises:
        FileNotFoundError: nothing is there.
        OSError: something else is, such as a pipe or a folder; or it may not be looked at.

    """
    other = _OTHERS.get(stat.S_IFMT(path.stat().st_mode))
    if other is not None:
        raise OSError(f"it is {other}, not a file")
    return path


def read_plain_text(path: Path) -> str:
    """The text of a file in UTF-8; a byte order mark is left out.

    Raises:
        FileNotFoundError: nothing is there.
        OSError: it is no plain file, or cannot be read.
        ValueError: it is not in UTF-8; says where.

    """
    content = plain_file(path).read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, place = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        found = f"byte 0x{content[error.start]:02x} in line {line} at position {place}"
        raise ValueError(f"it is not utf-8 ({found}); save it as utf-8") from None
