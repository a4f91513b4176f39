"""``experiment.md``: the experiment as a short paper, made of its ledger and its results files alone."""

from collections.abc import Callable, Mapping

from numerai_ray.report.plots.registry import PLOTS, Chapter
from numerai_ray.report.reading import Reading
from numerai_ray.report.sections.answer import answer_section
from numerai_ray.report.sections.closing import closing_sections
from numerai_ray.report.sections.data import data_section
from numerai_ray.report.sections.diagnostics import diagnostics_section
from numerai_ray.report.sections.ensemble import ensemble_section
from numerai_ray.report.sections.method import appendix_section, leaderboard_section, method
from numerai_ray.report.sections.plan import estimate_section, plan_section
from numerai_ray.report.sections.rounds import round_sections
from numerai_ray.report.sections.since import since_section

# The last chapter's heading.
APPENDIX = "## Appendix: further figures"

Picture = Callable[[str, str, str], list[str]]


def report_text(reading: Reading, captions: Mapping[str, str], picture: Picture | None = None) -> str:
    """The whole report.

    Args:
        reading: the experiment.
        captions: the plots that were drawn: name -> caption.
        picture: makes name, title and caption of a plot the lines that show it; Markdown's own unless given.

    """

    def figures(chapter: Chapter) -> list[str]:
        drawn = [plot for plot in PLOTS if plot.chapter == chapter and plot.name in captions]
        show = picture or markdown_picture
        return [line for plot in drawn for line in show(plot.name, plot.title, captions[plot.name])]

    # To judge a long search takes the most memory: it goes first, before all results are read for tables.
    closing = closing_sections(reading)
    parts = [
        f"# {reading.loaded.name}",
        *answer_section(reading),
        *figures("Answer"),
        "## Plan",
        *plan_section(reading),
        "## Data and folds",
        *data_section(reading),
        "## Method",
        *method(reading),
        *round_sections(reading, figures("Rounds")),
        *since_section(reading, figures("Since the decision")),
        "## Leaderboard",
        *leaderboard_section(reading),
        *figures("Leaderboard"),
        *ensemble_section(reading),
        "## Diagnostics",
        *diagnostics_section(reading),
        *figures("Diagnostics"),
        *estimate_section(reading),
        *closing,
        APPENDIX,
        *appendix_section(reading),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def markdown_picture(name: str, title: str, caption: str) -> list[str]:
    """A picture in the reader's theme, and what it shows."""
    light, dark = (f"plots/{name}-{theme}.png" for theme in ("light", "dark"))
    picture = (
        f'<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="{dark}">\n'
        f'  <img alt="{title}" src="{light}">\n</picture>'
    )
    return [picture, f"*{title}. {caption}*"]
