"""A front of one point is no line, and is not called one."""

from numerai_ray.report.plots.tradeoff import TradeoffInfo, TradeoffPoint, tradeoff_caption


def caption(*fronts: bool) -> str:
    points = tuple(
        TradeoffPoint(label=str(at), kind="variant", corr=0.02, contribution=0.003, front=front)
        for at, front in enumerate(fronts)
    )
    return tradeoff_caption(TradeoffInfo("scout", "bmc", points, 40, 0, 0))


def test_the_caption_tells_a_line_only_where_there_is_one() -> None:
    assert "The front is one point: nothing tried has more of either." in caption(True, False, False)
    assert "The line is the front: " in caption(True, True, False)
