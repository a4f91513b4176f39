"""Everything numerai-ray raises on purpose.

::

    NumeraiRayError
    ├── RequestError            what was asked for is wrong: one clear message, exit code 2
    │   ├── ConfigError         one or more problems in a config, an experiment or a search space
    │   ├── DataError           a data folder or file that is missing, damaged or not in Numerai's layout
    │   ├── EnvironmentFault    a missing library, a full disk, a port or folder that cannot be used
    │   ├── ResourceShortage    the machine is too small for the plan; says by how much
    │   └── ExperimentBusy      another process runs this experiment
    └── FitError                one fit failed for a reason of its own (a parameter the library refuses)
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# A longer line holds a long value. Its beginning names the place, its end says what to do.
MOST_LINE, BEGINNING, END = 1000, 600, 300
MOST_PROBLEMS = 50


def shortened(text: str) -> str:
    """``text`` without the middle of lines that are longer than anybody reads."""
    return "\n".join(
        line if len(line) <= MOST_LINE else f"{line[:BEGINNING]} … {len(line):,} characters … {line[-END:]}"
        for line in text.split("\n")
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'num_leaves'?`` or, with nothing near, the known words."""
    candidates = list(known)
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    listed = ", ".join(sorted(candidates)[:12]) + (", …" if len(candidates) > 12 else "")
    return f"; known: {listed}" if listed else ""


class NumeraiRayError(Exception):
    """Base of all errors raised on purpose; its text is meant for the user.

    >>> from numerai_ray import Experiment, NumeraiRayError
    >>> try:
    ...     Experiment.load("nowhere")
    ... except NumeraiRayError as error:
    ...     print(error)
    nowhere: no experiment.yaml there; give the folder of an experiment
    """

    def __init__(self, message: str = ""):
        super().__init__(shortened(message))


class RequestError(NumeraiRayError):
    """The request cannot be carried out as it stands; nothing was changed.

    >>> from numerai_ray import era_folds
    >>> era_folds([1, 2, 3], n_splits=5)
    Traceback (most recent call last):
    numerai_ray.errors.RequestError: era_folds: n_splits must be at most the number of eras, but got 5 > 3
    """


class DataError(RequestError):
    """A data folder or file is missing, damaged or not in Numerai's layout.

    >>> from numerai_ray import load_targets
    >>> load_targets("v0.0")
    Traceback (most recent call last):
    numerai_ray.errors.DataError: data/v0.0/downsampled_full.parquet: no such file; ...
    """


class EnvironmentFault(RequestError):
    """The machine lacks something: a library, disk space, permission."""


class ResourceShortage(RequestError):
    """The plan does not fit this machine; the message holds the numbers."""


class ExperimentBusy(RequestError):
    """Another process runs this experiment; the message names it."""


class FitError(NumeraiRayError):
    """One fit failed for a reason of its own; other variants go on.

    >>> from numerai_ray import FitError, NumeraiRayError
    >>> issubclass(FitError, NumeraiRayError)
    True
    """


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with a file: where (``$.model.params``), and what to do about it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.message} @ {self.path}"


class ConfigError(RequestError):
    """All problems of one file (or of one set of values) at once.

    >>> from numerai_ray import ConfigError, era_folds
    >>> try:
    ...     era_folds([1, 2, 3], splits=2, mode="forward")
    ... except ConfigError as error:
    ...     print([problem.path for problem in error.problems])
    ['$.mode', '$.splits']
    """

    def __init__(self, source: str, problems: Sequence[Problem]):
        self.source = source
        self.problems = tuple(problems)
        lines = "".join(f"\n  - {problem}" for problem in self.problems[:MOST_PROBLEMS])
        if len(self.problems) > MOST_PROBLEMS:
            lines += f"\n  - … and {len(self.problems) - MOST_PROBLEMS:,} more"
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        super().__init__(f"{source}: {count}{lines}")

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[str, tuple[Problem, ...]]]:
        # Exceptions cross process borders in Ray; the default rebuilds from the message alone and fails.
        return ConfigError, (self.source, self.problems)
