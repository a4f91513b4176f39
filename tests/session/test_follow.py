"""Following models through the real numerapi client, to a server that answers as Numerai does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from live_rounds import BMC, CORR, uploaded, weeks_of_rounds
from numerai_account import PUBLIC_ID, SECRET, Account, live_round, mcp_server
from numerai_server import NumeraiServer
from webhook import running_webhook

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.submission.numerai.live import rounds_of
from numerai_ray.submission.numerai.record import newest_of, read_uploads, uploads_below


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NUMERAI_PUBLIC_ID", PUBLIC_ID)
    monkeypatch.setenv("NUMERAI_SECRET_KEY", SECRET)
    monkeypatch.delenv("NUMERAI_MCP_AUTH", raising=False)
    with NumeraiServer({}).running() as server:
        monkeypatch.setenv("NUMERAI_RAY_API_URL", server.url)
        yield Account(server, scopes=frozenset({"read_user_info"}))


def followed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert run(["follow", *arguments, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of("follow")).validate(value)
    models: list[dict[str, Any]] = value["models"]
    return models


def test_a_model_that_stops_paying_is_told(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    uploaded("ray_one", "model-1")
    uploaded("ray_two", "model-2")
    account.rounds = {"model-1": weeks_of_rounds(60, 0.0), "model-2": weeks_of_rounds(60, BMC.mean)}
    stopped, kept = followed(capsys)
    assert stopped["word"] == "worse than promised"
    assert kept["word"] == "as promised"
    for each in (stopped, kept):
        assert (each["resolved"], each["in_progress"]) == (290, 10)
        assert each["scores"]["bmc"]["weeks"] == 58  # five rounds of a week are one era
        assert each["at_risk"] == pytest.approx(100)
        assert each["experiment"] == "small"
    settled = [each["payout"] for each in kept["rounds"] if each["resolved"]]
    assert kept["paid"] == pytest.approx(sum(settled))
    assert kept["mean"]["corr"] == pytest.approx(kept["mean"]["bmc"] + 0.013, abs=1e-4)
    assert run(["follow"]) == 0
    text = capsys.readouterr().out
    assert "ray_one, BMC: promised 0.01200 ± 0.00080; live" in text
    assert "worse than promised" in text


def test_a_webhook_is_told_of_the_model_that_does_worse(account: Account) -> None:
    uploaded("ray_one", "model-1")
    uploaded("ray_two", "model-2")
    account.rounds = {"model-1": weeks_of_rounds(60, 0.0), "model-2": weeks_of_rounds(60, BMC.mean)}
    with running_webhook() as webhook:
        assert run(["follow", "--notify", webhook.url]) == 0
    (told,) = webhook.told
    assert (told["event"], told["model"]) == ("model_trouble", "ray_one")
    assert told["text"].startswith("ray_one, ")


@pytest.mark.pictures
def test_a_model_with_few_rounds_is_too_early(
    account: Account, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    uploaded("ray_one", "model-1")
    account.rounds = {"model-1": weeks_of_rounds(4, 0.0)}
    (found,) = followed(capsys, "RAY_ONE")
    assert found["word"] == "too early"
    assert found["scores"]["bmc"]["weeks"] == 2
    assert run(["follow", "ray_one", "--plot", str(tmp_path / "plots"), "--rounds", "3"]) == 0
    text = capsys.readouterr().out
    assert "weeks would tell in four cases of five" in text
    assert text.count("until 2026-12-31") == 3
    assert (tmp_path / "plots" / "follow-ray_one.png").read_bytes()[:4] == b"\x89PNG"


def test_rounds_before_the_upload_are_not_the_pickles(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    uploaded("ray_one", "model-1")
    before = live_round(900, "2025-06-03T13:00:00Z", {"canon_bmc": -0.3, "canon_corr": -0.3})
    account.rounds = {"model-1": [before, *weeks_of_rounds(6, BMC.mean)]}
    (found,) = followed(capsys, "ray_one")
    assert len(found["rounds"]) == 31
    assert found["scores"]["bmc"]["weeks"] == 4
    assert found["mean"]["bmc"] > 0


def test_models_of_others_hands_and_other_targets(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    account.rounds = {"model-2": weeks_of_rounds(6, 0.004)}
    one, two = followed(capsys)
    assert (one["word"], one["rounds"], one["mean"]["bmc"]) == ("no promise known", [], None)
    assert (two["word"], two["resolved"]) == ("no promise known", 20)
    uploaded("ray_two", "model-2")
    for each in account.rounds["model-2"]:
        each["roundTarget"] = "cyrusd_20"
    assert "rounds are scored on cyrusd_20" in followed(capsys)[0]["note"]


def test_what_is_refused(account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["follow", "ray_tow"]) == 2
    assert "MODEL: no model 'ray_tow' in this account; did you mean 'ray_two'" in capsys.readouterr().err
    assert run(["follow", "--via", "mcp"]) == 2
    assert "--via: mcp goes with --check alone" in capsys.readouterr().err
    monkeypatch.setenv("NUMERAI_SECRET_KEY", "another")
    assert run(["follow"]) == 2
    err = capsys.readouterr().err
    assert "Numerai refuses this request" in err
    assert "another" not in err
    monkeypatch.delenv("NUMERAI_SECRET_KEY")
    monkeypatch.delenv("NUMERAI_PUBLIC_ID")
    assert run(["follow"]) == 2
    assert "no API key" in capsys.readouterr().err


def test_the_key_is_checked(
    account: Account, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["follow", "--check", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of("follow")).validate(value)
    assert value == {"valid": True, "via": "numerapi", "account": "tester", "scopes": ["read_user_info"]}
    assert run(["follow", "--check"]) == 0
    assert capsys.readouterr().out == "the API key is taken (account tester); it may read_user_info\n"
    with mcp_server(account) as url:
        monkeypatch.setenv("NUMERAI_RAY_MCP_URL", url)
        assert run(["follow", "--check", "--via", "mcp"]) == 0
        assert "the API key is taken" in capsys.readouterr().out
    monkeypatch.setenv("NUMERAI_SECRET_KEY", "another")
    assert run(["follow", "--check"]) == 2


def test_records_of_uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uploaded("ray_one", "model-1", {})
    uploaded("ray_one", "model-1")
    first, second = read_uploads(Path("ray_one.uploads.json"))
    assert first.promises == {}
    assert second.promises == {"bmc": BMC, "corr": CORR}
    own = tmp_path / "experiments" / "small" / "submission"
    own.mkdir(parents=True)
    Path("ray_one.uploads.json").rename(own / "ray_one.uploads.json")
    assert newest_of(uploads_below(tmp_path)) == {"model-1": second}
    (own / "ray_one.uploads.json").write_text('{"uploads": [{"model": 3}, "what"]}')
    assert uploads_below(tmp_path) == []


def test_the_score_that_pays_and_its_latest_day_count() -> None:
    (found,) = rounds_of(
        [
            {"roundNumber": 7, "submissionScores": None, "atRisk": None},
            {
                "roundNumber": 8,
                "roundResolved": False,
                "submissionScores": [
                    {"displayName": "bmc", "value": 0.9, "day": 20},
                    {"displayName": "canon_bmc", "value": 0.2, "day": 4, "payoutPending": 1.5},
                    {"displayName": "canon_bmc", "value": 0.1, "day": 3, "payoutPending": 9.9},
                ],
            },
        ]
    )
    assert (found.number, found.bmc, found.payout, found.week) == (8, 0.2, 1.5, None)
