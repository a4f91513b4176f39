"""Post step: a class with the key of ``post`` that asks for it, and what it makes of a fold's prediction."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from numerai_ray.data.dataset import Columns
from numerai_ray.data.era_slabs import Slab
from numerai_ray.data.eras import Fold
from numerai_ray.training.linear_parts import LinearParts
from numerai_ray.training.rows import take
from numerai_ray.training.spec import VariantPlan

Floats = npt.NDArray[np.float64]
# Names of features -> their values in each era of a fold, in order.
SlabsOf = Callable[[Sequence[str]], Iterator[Slab]]
Asked = TypeVar("Asked")


@dataclass(frozen=True, eq=False)
class PostFold:
    """The fold that a step works on.

    ``columns`` are the targets and benchmarks of the whole dataset; ``path`` is that of the ``post`` section, ``""``
    for the config's own. ``slabs`` gives features, which are read from their file without it; ``parts`` is what
    variants share that differ in a proportion alone.
    """

    plan: VariantPlan
    fold: Fold
    columns: Columns
    path: str = ""
    slabs: SlabsOf | None = None
    parts: LinearParts | None = None

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """(n_eras + 1,): the first row of each era among the fold's, and their number."""
        return self.plan.index.starts_of(self.fold.validation_eras)

    def benchmark(self, name: str) -> npt.NDArray[Any]:
        """(n,): a benchmark column on the fold's rows; NaN where it is unknown."""
        return take(self.columns.benchmarks[name], self.plan.index.row_ranges(self.fold.validation_eras))


class PostStep(ABC, Generic[Asked]):
    """A step of ``post``, done where the config asks for it."""

    key: ClassVar[str]

    @abstractmethod
    def apply(self, prediction: Floats, asked: Asked, fold: PostFold) -> Floats:
        """What the step makes of a prediction.

        Args:
            prediction: (n,) of the fold's rows, by era; NaN where it is unknown, and so it stays.
            asked: what the config says under ``key``.
            fold: where it is done.

        Returns:
            (n,), of no scale that anybody relies on: scores look at ranks.

        """
