"""Files that are whole or absent, and what becomes of those whose writer died."""

import os
import subprocess
import sys
from pathlib import Path

from numerai_ray.system.files import tidy

WRITER = """
import sys, time
from pathlib import Path
from numerai_ray.system.files import whole_file
with whole_file(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print(partial, flush=True)
    time.sleep(60)
"""


def test_what_a_dead_writer_left_is_tidied_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    """Below a folder, by the lock that dies with its holder: no age tells a slow writer from a dead one."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "deep" / "file.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        partial = Path(writer.stdout.readline().strip())
        os.utime(partial, (0, 0))
        tidy(tmp_path)
        assert partial.exists(), "its writer lives"
        writer.kill()
    young = partial.with_name(".young.x.partial")
    young.touch()
    link = partial.with_name(".link.x.partial")
    link.symlink_to(tmp_path)
    tidy(tmp_path)
    assert sorted(partial.parent.iterdir()) == [link, young]
