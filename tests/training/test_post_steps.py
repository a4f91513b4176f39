"""Post steps: every key of a config's ``post`` has its step, and an export knows what it is."""

from numerai_ray.config import PostConfig, validate
from numerai_ray.submission.export.assembly import EXPORTED
from numerai_ray.training.post_steps.registry import POST_STEPS


def test_every_key_is_a_step_and_every_step_has_its_key() -> None:
    keys = [step.key for step in POST_STEPS]
    assert keys == ["neutralize", "blend", "rank"]
    assert sorted(keys) == sorted(PostConfig.model_fields)
    assert set(keys) == set(EXPORTED)


def test_what_is_asked_for_is_what_a_config_says_and_no_more() -> None:
    assert PostConfig().asked == {}
    assert validate(PostConfig, {"rank": False}, "c.yaml").asked == {}
    post = validate(PostConfig, {"blend": {"v1": 0.1}, "neutralize": {"to": ["small", "benchmark"]}}, "c.yaml")
    assert list(post.asked) == ["neutralize", "blend"]
    assert post.benchmarks == ("v1", "benchmark")
    assert post.model_dump(mode="json").keys() == post.asked.keys()
