"""What a user writes: configs, plans, search spaces; checked as a whole, every problem with its place.

Begin with :mod:`numerai_ray.config.schema` (one configuration) and :mod:`numerai_ray.config.plan` (an experiment's).
Beside what is named here, ``plan``, ``plan_schema``, ``plan_template``, ``search_space``, ``ranges``, ``official``,
``official_words`` and ``shipped`` are imported as modules. Nothing here opens a data file.
"""

from numerai_ray.config.schema import Config, CvConfig, DataConfig, ScoreConfig
from numerai_ray.config.sections import (
    SCORE_BENCHMARK,
    EraSample,
    EraWeights,
    FeatureSample,
    ModelConfig,
    PostConfig,
    Resources,
)
from numerai_ray.config.validation import (
    Json,
    Section,
    apply_overrides,
    canonical_json,
    fingerprint,
    leaves,
    validate,
    value_at,
)
from numerai_ray.config.yaml_files import parse_yaml, read_text, yaml_text

__all__ = [
    "SCORE_BENCHMARK",
    "Config",
    "CvConfig",
    "DataConfig",
    "EraSample",
    "EraWeights",
    "FeatureSample",
    "Json",
    "ModelConfig",
    "PostConfig",
    "Resources",
    "ScoreConfig",
    "Section",
    "apply_overrides",
    "canonical_json",
    "fingerprint",
    "leaves",
    "parse_yaml",
    "read_text",
    "validate",
    "value_at",
    "yaml_text",
]
