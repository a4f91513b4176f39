"""The front of a search of two metrics, as a table: what no other variant beats in both."""

from numerai_ray.metrics.registry import METRICS
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import cell

MOST_ROWS = 12


def front_section(reading: Reading) -> list[str]:
    """A paragraph and a table; nothing where one metric is searched, or nothing is on the front yet."""
    front, names = reading.answer.front, reading.loaded.plan.rounds.metrics
    if not front or not names:
        return []
    titles = [METRICS[name].title for name in names]
    which = "One variant is" if len(front) == 1 else f"{len(front)} variants are"
    which = f"{which} beaten by no other in both {' and '.join(titles)} (means over all scored eras)"
    shown = front[:MOST_ROWS]
    rest = "" if len(shown) == len(front) else f" The first {len(shown)} of them; all stand in `status --json`."
    rows = [f"| {cell(each.id)} | {' | '.join(f'{value:.5f}' for value in each.values)} |" for each in shown]
    table = [f"| On the front | {' | '.join(titles)} |", f"|:--|{'--:|' * len(titles)}", *rows]
    primary, last = reading.metric, reading.score_config.score.last_eras
    window = f"the last {last} scored eras" if primary.recent else "all scored eras"
    rule = (
        f"Of those on a round's front the best {primary.metric.noun} over {window} could become the next base, by "
        f"`accept: {reading.loaded.plan.rounds.accept}`."
    )
    return [f"{which}. {rule}{rest}", "\n".join(table)]
