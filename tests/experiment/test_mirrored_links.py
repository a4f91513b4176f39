"""Links in an experiment's folder: linked folders are copied with what is in them, linked files are somebody's own."""

from pathlib import Path

from numerai_ray.experiment.mirror import ResultsMirror
from numerai_ray.system.storage import files_below


def test_a_linked_folder_is_copied_and_a_linked_file_is_not(tmp_path: Path) -> None:
    folder, disk, copy = tmp_path / "a", tmp_path / "larger disk", tmp_path / "copy"
    (folder / "results").mkdir(parents=True)
    disk.mkdir()
    (folder / "predictions").symlink_to(disk)
    (folder / "predictions" / "a.parquet").write_text("rows")
    (tmp_path / "secret").write_text("somebody's own")
    for name in ("results/b.json", "predictions/b.parquet", "report.html"):
        (folder / name).symlink_to(tmp_path / "secret")
    (tmp_path / "plan.yaml").write_text("idea: shared by several")
    (folder / "experiment.yaml").symlink_to(tmp_path / "plan.yaml")
    (folder / "results" / "a.json").write_text("scores")
    (folder / "results" / "rounds.jsonl").write_text('{"round": 1}\n')

    assert ResultsMirror(folder, copy).push() == 4
    names = [each.name for each in files_below(copy)]
    assert names == ["experiment.yaml", "predictions/a.parquet", "results/a.json", "results/rounds.jsonl"]
    assert ResultsMirror(folder, copy).fetch() == 0, "what is behind the link is here already"

    # What comes back into linked folders arrives there, and replaces links instead of writing through them.
    (folder / "predictions" / "a.parquet").unlink()
    (copy / "results" / "b.json").write_text("theirs")
    (folder / "results" / "b.json").unlink()
    (folder / "results" / "b.json").symlink_to(tmp_path / "nowhere")
    assert ResultsMirror(folder, copy).fetch() == 2
    assert (disk / "a.parquet").read_text() == "rows"
    assert (folder / "results" / "b.json").read_text() == "theirs"
    assert not (tmp_path / "nowhere").exists()
    assert (tmp_path / "secret").read_text() == "somebody's own"
