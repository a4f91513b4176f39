"""The notebook of the docs runs from top to bottom in a kernel of its own, and its pictures are drawn."""

import base64
import os
import resource
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

# Three minutes, if it had one core alone; processor time, because a busy machine makes no notebook slow.
MOST_CPU_S = 180.0
NOTEBOOK = Path(__file__).resolve().parents[2] / "numerai_ray" / "docs" / "tutorial.ipynb"


@pytest.mark.slow
@pytest.mark.long
def test_the_tutorial_runs_in_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMERAI_RAY_DATA", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[2]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert len(notebook.cells) <= 30
    assert all(not cell.get("outputs") for cell in notebook.cells), "save it without outputs"
    before = _children_s()
    NotebookClient(
        notebook, timeout=500, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    spent = _children_s() - before
    assert spent < MOST_CPU_S, f"took {spent:.0f} s of processor time"
    print(f"{spent:.0f} s of processor time")
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pictures = [output["data"]["image/png"] for output in shown if "image/png" in output.get("data", {})]
    assert len(pictures) >= 6
    pages = " ".join(output["data"]["text/html"] for output in shown if "text/html" in output.get("data", {}))
    for wanted in ("small-trees", "best so far", "sklearn ridge", "foreign-sklearn-ridge", "round 1 (scout"):
        assert wanted in pages, wanted
    assert (tmp_path / "experiments" / "small-trees" / "report.html").is_file()
    assert (tmp_path / "experiments" / "my-ridge" / "models" / "MyRidge.py").read_text().count("PENALTY = 100.0") == 1
    kept = os.environ.get("NUMERAI_RAY_TUTORIAL_OUT")  # somebody wants to look at it
    if kept:
        nbformat.write(notebook, Path(kept) / "tutorial.ipynb")
        for number, picture in enumerate(pictures):
            (Path(kept) / f"picture-{number}.png").write_bytes(base64.b64decode(picture))


def _children_s() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime
