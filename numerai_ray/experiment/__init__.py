"""An experiment's folder: the names of its files, its ledger and records, results, baselines, lock and mirror.

Begin with :mod:`numerai_ray.experiment.paths` (every file name) and :mod:`numerai_ray.experiment.ledger` (the only
memory beside the fit store). :mod:`numerai_ray.experiment.decision` says what a round's results come to. Nothing here
trains, and nothing here chooses what runs next.
"""

__all__ = [
    "baselines",
    "decision",
    "diagnostics_output",
    "ledger",
    "lock",
    "mirror",
    "notes",
    "paths",
    "rechecks",
    "records",
    "results",
    "scores",
    "since",
    "variant_files",
    "variant_output",
]
