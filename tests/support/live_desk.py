"""A finished experiment on the weeks up to 0125, and a Numerai that publishes later ones."""

import shutil
from pathlib import Path

import yaml
from desk import BASELINE, PLAN
from published import as_of

from numerai_ray.cli.main import run
from numerai_ray.config import apply_overrides
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec


class LiveDesk:
    """``whole`` is a market with all its weeks, ``there`` what Numerai publishes, ``data`` the data root."""

    def __init__(self, root: Path):
        self.root = root
        self.whole, self.there, self.data = root / "whole", root / "there", root / "data"
        self.exp = root / "experiments" / "small"

    @classmethod
    def searched(cls, root: Path) -> "LiveDesk":
        """The search is over: its last era with labels is 0120."""
        desk = cls(root)
        write_market(MarketSpec(eras=150, rows=50, features=20, seed=1), desk.whole)
        (desk.exp.parent / "baselines").mkdir(parents=True)
        (desk.exp.parent / "baselines" / "tiny.yaml").write_text(yaml.safe_dump(BASELINE))
        desk.exp.mkdir()
        # A base that the baseline is not: whoever wins is compared with something.
        plan = apply_overrides(PLAN, {"budget": {"rounds": 1}, "base": {"model": {"params": {"num_leaves": 12}}}})
        (desk.exp / "experiment.yaml").write_text(yaml.safe_dump(plan))
        desk.arrive(125)
        assert run(["run", str(desk.exp), "--data-dir", str(desk.data), "--in-process", "--accept-suspect"]) == 0
        desk.publish(125)
        return desk

    def copy(self, root: Path) -> "LiveDesk":
        """A copy to change."""
        shutil.copytree(self.root, root)
        return LiveDesk(root)

    def arrive(self, last_era: int) -> None:
        """Files of a later week are in the data root."""
        as_of(self.whole, self.data / "tiny", last_era)

    def publish(self, last_era: int) -> None:
        """Files of a later week are at Numerai, and look like Numerai's own."""
        shutil.rmtree(self.there, ignore_errors=True)
        as_of(self.whole, self.there, last_era)
        (self.there / "market_truth.json").unlink()
