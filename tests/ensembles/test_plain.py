"""The benchmark against plain pandas, in its short form."""

import ensemble_search
import pytest


def test_faster_than_plain_pandas_and_equal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ensemble_search, "LEAST_RATIO", 3.0)  # a small market on a busy machine
    assert ensemble_search.speed(eras=90, rows=100, candidates=30)
    assert '"finalist_off_by"' in capsys.readouterr().out
