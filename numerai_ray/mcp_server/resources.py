"""Resources: what an agent can read whole - the docs, each experiment's report, its plots as images, the schemas."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from numerai_ray.errors import RequestError
from numerai_ray.experiment.paths import ExperimentPaths, summary_file
from numerai_ray.session.skills import DOCS

SCHEME = "numerai-ray://"
TYPES = {".md": "text/markdown", ".json": "application/json", ".png": "image/png", ".yaml": "application/yaml"}


@dataclass(frozen=True)
class Readable:
    """A file that can be read, and its address."""

    uri: str
    about: str
    file: Path

    @property
    def mime_type(self) -> str:
        return TYPES[self.file.suffix]


def readable(root: Path) -> list[Readable]:
    """Everything there is now: docs first, then experiments by name."""
    return [*_docs(), *_experiments(root)]


def find(root: Path, uri: str) -> Readable:
    """The resource of an address.

    Raises:
        RequestError: there is none.

    """
    found = next((each for each in readable(root) if unquote(each.uri) == unquote(uri)), None)
    if found is None:
        raise RequestError(f"{uri}: no such resource; list them, plots come with an experiment's first report")
    return found


def _docs() -> Iterator[Readable]:
    for file in sorted(DOCS.glob("*.md")):
        title = file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        yield Readable(f"{SCHEME}docs/{file.stem}", title, file)
    for file in sorted((DOCS / "schemas").glob("*.json")):
        yield Readable(f"{SCHEME}schemas/{file.name.split('.')[0]}", "JSON Schema of a file that you write", file)


def _experiments(root: Path) -> Iterator[Readable]:
    summary = summary_file(root / "experiments")
    if summary.is_file():
        yield Readable(f"{SCHEME}summary", "Summary of the last queue", summary)
    for plan in sorted(root.glob("experiments/*/experiment.yaml")):
        paths = ExperimentPaths(plan.parent)
        at = f"{SCHEME}experiments/{quote(plan.parent.name)}"
        yield Readable(f"{at}/plan", f"Plan of {plan.parent.name}", plan)
        if paths.report.is_file():
            yield Readable(f"{at}/report", f"Report of {plan.parent.name}", paths.report)
        for picture in sorted(paths.plots.glob("*-light.png")):
            yield Readable(f"{at}/plots/{quote(picture.stem)}", f"Plot of {plan.parent.name}", picture)
