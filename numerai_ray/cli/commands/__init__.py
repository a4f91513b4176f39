"""Commands, one file each; a new one is a file with ``register`` and its lines here, in the order of ``--help``.

A command's file is imported when it is called: most of what a short command takes is imports.
"""

from importlib import import_module

import typer

# name -> (module, the first sentence of its help)
COMMANDS = {
    "new": ("new", "Write a commented experiment.yaml; at a terminal, what is not given as a flag is asked for."),
    "plan": ("plan", "Show what an experiment will do: stages, first rounds, fits, expected time and memory."),
    "round": (
        "plan",
        "Run one scout round of one variable around the best configuration so far; it is decided like any other.",
    ),
    "run": (
        "run",
        "Run an experiment from wherever it stands to its report; the same command goes on after any interruption.",
    ),
    "train": ("run", "Train one config with cross-validation and write the official outputs."),
    "baseline": (
        "baseline",
        "Run a baseline and keep its results under the data root; once is enough for a data version.",
    ),
    "status": ("read", "Where an experiment stands: decided rounds, the running one, the best so far."),
    "leaderboard": (
        "read",
        "Every configuration that ran, best first, a stage at a time: stages do not compare with each other.",
    ),
    "report": ("read", "Write the report again from the ledger, and say where it is."),
    "dashboard": (
        "dashboard",
        "Serve a page of experiments, live, until Ctrl-C; it reads their folders and never writes.",
    ),
    "recheck": (
        "recheck",
        "Score base, winner and baseline on eras that came after the last decision: a holdout nobody could peek at.",
    ),
    "compare": (
        "compare",
        "Experiments side by side: base, baseline and winner of the latest stage each reached, a holdout aside.",
    ),
    "history": (
        "history",
        "Search all experiments by idea, dimension, target or outcome; results without a gain are kept as well.",
    ),
    "note": ("note", "Write a note about an experiment, or read those there are; it decides nothing."),
    "evaluate": (
        "evaluate",
        "Score predictions from anywhere: per era, with intervals, against benchmark, baselines and experiments.",
    ),
    "ensemble": (
        "ensemble",
        "The best blend of what experiments predicted, chosen on earlier eras, reported on later ones; trains nothing.",
    ),
    "track": (
        "track",
        "Write an experiment's rounds for TensorBoard, and for MLflow or Weights & Biases where named; nothing twice.",
    ),
    "schema": ("schema", "JSON Schema of what commands print with --json, and of the files that you write."),
    "skills": ("skills", "Skills for coding agents: how to plan, run, read, model and submit."),
    "mcp": ("mcp", "Serve tools, reports and skills to an agent by the Model Context Protocol, on stdin and stdout."),
    "export": (
        "submission",
        "Refit a variant, or an ensemble, on every labelled era into one pickle, proved for Numerai's container.",
    ),
    "verify": (
        "submission",
        "Try a pickle as Numerai runs it: its Python and libraries, no network, one core, none of our code.",
    ),
    "check-model": (
        "models",
        "Try on a small market whether rounds may believe a model: seeds, threads, what it changes and what it sees.",
    ),
    "predict": (
        "predict",
        "Predict the live round with a pickle, as Numerai's container would, and optionally submit the predictions.",
    ),
    "diagnose": (
        "predict",
        "Have Numerai judge a variant's out-of-fold validation predictions, and show its scores beside ours.",
    ),
    "upload": ("upload", "Upload a pickle: send, validate, assign; nothing leaves this machine before it is asked."),
    "follow": (
        "follow",
        "Live rounds of your models: CORR, MMC, BMC, payout, stake at risk; and whether they do as promised.",
    ),
    "weekly": (
        "weekly",
        "Download what changed, build, recheck every experiment, follow your models, write the reports.",
    ),
    "submit": (
        "submit",
        "Run an experiment on a Ray cluster as a job; the same command watches it, or goes on with it after a loss.",
    ),
    "data": ("data", "Download, make, build and inspect data files."),
    "store": ("store", "See, check and tidy up the store of trained fits."),
}


def register(program: typer.Typer, called: str | None) -> None:
    """Add the commands to the program: the file of the one that is ``called``, else every name with its sentence."""
    if called in COMMANDS:
        import_module(f"{__name__}.{COMMANDS[called][0]}").register(program)
        return
    for name, (_, sentence) in COMMANDS.items():
        program.command(name, help=sentence)(_not_called)


def _not_called() -> None:
    """Stands for a command that is only listed."""
