"""The ensemble of the experiment's own variants, in its report; the whole is a report of its own beside it."""

from numerai_ray.ensembles.outcome import delta_of, read_outcome
from numerai_ray.experiment.paths import EnsemblePaths
from numerai_ray.metrics.significance import delta_text, e4
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import cell, number

_LATER = "Blends of the variants are searched when all rounds are decided"


def ensemble_section(reading: Reading) -> list[str]:
    """Whether a blend of the variants is better than the best of them; nothing where the plan asks for none."""
    paths, own = EnsemblePaths(reading.paths.ensemble), reading.answer.ensemble
    if own is None:
        return []
    if not own.there:
        return ["## Ensemble", f"{own.sentence}." if own.sentence else f"{_LATER}; none is there yet."]
    value = read_outcome(paths)["ensemble"]
    gain = delta_of(value["gain"])
    lead = (
        f"The best blend of {value['candidates']} candidates, chosen on earlier eras, differs from the single model "
        f"that was best until then by {e4(gain.mean)} on later ones ({delta_text(gain)}). Its scores are of these eras "
        f"alone and do not compare with those of the rounds."
    )
    lines = ["| Member | Weight | BMC, eras of choice | Lost without it, last block |", "|:--|--:|--:|--:|"]
    for member in value["members"]:
        loss = member["loss_last_block"]
        scores = (number(member["bmc_where_chosen"], 5), "–" if loss is None else e4(loss))
        lines.append(f"| {cell(member['name'])} | {member['weight']:.4f} | {scores[0]} | {scores[1]} |")
    more = (
        f"All of it: [{paths.root.name}/{paths.report.name}]({paths.root.name}/{paths.report.name}); "
        f"`numerai-ray export {reading.paths.root}/{paths.root.name} --out NAME.pkl` makes one pickle of it."
    )
    since = f"It was made before what is new since. {_LATER}." if own.state == "outdated" else ""
    return ["## Ensemble", lead, *([since] if since else []), "\n".join(lines), f"Decided by rule {own.rule}. {more}"]
