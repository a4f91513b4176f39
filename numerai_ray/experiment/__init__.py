"""An experiment's folder: the names of its files, its ledger and records, results, baselines, lock and mirror.

Begin with :mod:`numerai_ray.experiment.paths` (every file name) and :mod:`numerai_ray.experiment.ledger` (the only
memory beside the fit store). :mod:`numerai_ray.experiment.decision` says what a round's results come to,
:mod:`numerai_ray.experiment.answer` what all of them do. Nothing here
trains, and nothing here chooses what runs next.
"""

__all__ = [
    "answer",
    "answer_table",
    "baselines",
    "costs",
    "decision",
    "diagnostics_output",
    "ledger",
    "lock",
    "mirror",
    "next_steps",
    "notes",
    "own_ensemble",
    "paths",
    "rechecks",
    "records",
    "results",
    "scores",
    "since",
    "standing",
    "variant_files",
    "variant_output",
    "verdicts",
]
