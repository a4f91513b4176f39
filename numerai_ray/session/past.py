"""Past experiments: one in a line, as history, queue and summary tell of it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from numerai_ray.experiment.answer import Kind
    from numerai_ray.metrics.significance import Verdict

Outcome = Literal["gain", "inside the noise", "no gain", "open"]
OUTCOMES: tuple[Outcome, ...] = ("gain", "inside the noise", "no gain", "open")
# What a finished experiment's answer comes to, and its verdict on the winner in the leaderboard's words.
OUTCOME_OF: "dict[Kind, tuple[Outcome, Verdict]]" = {
    "gain": ("gain", "clear gain"),
    "trade-off": ("gain", "clear gain"),
    "too small": ("no gain", "clear gain"),
    "not settled": ("inside the noise", "inside the noise"),
    "loss": ("no gain", "clear loss"),
    "no change": ("no gain", "unknown"),
    "nothing yet": ("no gain", "unknown"),
}


@dataclass(frozen=True)
class Tried:
    """What a round of one variable brought: its best variant against the round's base.

    ``verdict_overall`` is that of the best as what the whole search found; build on that one.
    """

    dimension: str
    stage: str
    values: tuple[str, ...]
    best: str | None
    delta: float | None
    verdict: str
    verdict_overall: str = "unknown"


@dataclass(frozen=True)
class PastExperiment:
    """One experiment in a line: what it asked, what it tried, and what came of it.

    ``answer`` is its answer's sentence and ``kind`` the same in a word; ``gain``, of what won over ``against``, is the
    answer's too, in mean BMC an era. ``outcome`` is what a finished experiment comes to; ``problem`` says why one
    cannot be read.
    """

    experiment: str
    idea: str = ""
    novelty: str = ""
    state: str = "not started"
    outcome: Outcome = "open"
    stage: str | None = None
    rounds: int = 0
    winner: str | None = None
    kind: "Kind" = "nothing yet"
    answer: str = ""
    gain: float | None = None
    against: str = ""
    verdict: str = "unknown"
    changes: dict[str, Any] = field(default_factory=dict)
    dimensions: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**vars(self), "tried": [vars(each) for each in self.tried]}

    def promise(self) -> tuple[int, float]:
        """What to go on with first: clear gains, then the larger ones; experiments without a round come first."""
        clear = any(each.verdict_overall == "clear gain" for each in self.tried) or self.verdict == "clear gain"
        deltas = [each.delta for each in self.tried if each.delta is not None]
        return (2 if not self.rounds else int(clear), max(deltas, default=0.0))
