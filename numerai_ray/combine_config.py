"""The ``ensemble`` and ``post`` sections: what is made of fits' predictions. Neither costs training."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from numerai_ray.validation import Name, Section, Weight


class StackConfig(Section):
    """Weights learned from earlier folds' out-of-fold predictions; see :func:`numerai_ray.post.stack`."""

    added: ClassVar[frozenset[str]] = frozenset({"penalty", "min_fit_eras"})

    method: Literal["nnls", "ridge"] = "nnls"
    penalty: float = Field(default=0.01, ge=0)
    min_fit_eras: int = Field(default=20, ge=1)


class EnsembleConfig(Section):
    """Members, each the config with changes to ``data`` and ``model``, and how their predictions are mixed."""

    added: ClassVar[frozenset[str]] = frozenset({"weights", "scale", "stack"})

    members: dict[Name, dict[str, Any]] = Field(min_length=1)
    weights: dict[Name, Weight] = Field(default_factory=dict)
    scale: Literal["rank", "gauss"] = "rank"
    stack: StackConfig | None = None

    @model_validator(mode="after")
    def _weights_of_members(self) -> Self:
        if self.weights and self.stack:
            raise ValueError("'stack' learns the weights; remove 'weights' or 'stack'")
        if self.weights and set(self.weights) != set(self.members):
            members = ", ".join(self.members)
            raise ValueError(f"weights must name every member ({members}) once, but name {', '.join(self.weights)}")
        return self


class NeutralizeConfig(Section):
    """What predictions are made neutral to: feature sets, ``benchmark``, or several at once."""

    added: ClassVar[frozenset[str]] = frozenset({"proportion"})

    to: Name | Annotated[list[Name], Field(min_length=1)]
    proportion: float = Field(default=1.0, ge=0, le=1)

    @property
    def names(self) -> tuple[str, ...]:
        """Feature sets and ``benchmark``, at least one of them."""
        return (self.to,) if isinstance(self.to, str) else tuple(self.to)


class PostConfig(Section):
    """What is done to combined predictions, era by era: neutralize, then blend with benchmarks, then rank.

    ``blend`` has the share of each benchmark column (``benchmark`` is the score's); the prediction has the rest.
    """

    added: ClassVar[frozenset[str]] = frozenset({"rank", "neutralize", "blend"})

    rank: bool = False
    neutralize: NeutralizeConfig | None = None
    blend: Annotated[dict[Name, Annotated[float, Field(ge=-100)]], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.blend and sum(self.blend.values()) >= 1:
            total = sum(self.blend.values())
            raise ValueError(f"blended shares must leave some to the prediction (a sum under 1), but add up to {total}")
        return self
