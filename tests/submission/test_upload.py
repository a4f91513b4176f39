"""Uploads through the real numerapi and the real MCP client, to servers that do what Numerai does and refuses."""

import hashlib
import json
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from numerai_account import FAILS, PUBLIC_ID, SECRET, TOKEN, Account, mcp_server
from numerai_server import Behaviour, NumeraiServer

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.data.download.numerai_api import NumeraiApi
from numerai_ray.errors import EnvironmentFault, NumeraiRayError, RequestError
from numerai_ray.submission.numerai.account import Numerai, Offer, find_slot
from numerai_ray.submission.numerai.graphql import GraphqlNumerai
from numerai_ray.submission.numerai.mcp import McpNumerai, authorization
from numerai_ray.submission.numerai.upload import UploadOrder, Waiting, Watch, upload
from numerai_ray.system.http import Patience
from numerai_ray.system.transfer import put_file

QUICK = Patience(tries=3, first_wait_s=1, connect_s=2, stall_s=2, sleep=lambda _s: None)


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def now(self) -> float:
        return self.seconds


CLOCK = Clock()
WAITING = Waiting(limit_s=50, sleep=CLOCK.sleep, now=CLOCK.now)
WAYS = ("numerapi", "mcp")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NUMERAI_PUBLIC_ID", PUBLIC_ID)
    monkeypatch.setenv("NUMERAI_SECRET_KEY", SECRET)
    monkeypatch.delenv("NUMERAI_MCP_AUTH", raising=False)
    with NumeraiServer({}).running() as server:
        monkeypatch.setenv("NUMERAI_RAY_API_URL", server.url)
        server.uses_per_url = 1
        yield Account(server)


@pytest.fixture
def mcp_url(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("mcp")
    with mcp_server(account) as url:
        monkeypatch.setenv("NUMERAI_RAY_MCP_URL", url)
        yield url


@pytest.fixture(params=WAYS)
def numerai(request: pytest.FixtureRequest, account: Account) -> Numerai:
    if request.param == "mcp":
        return McpNumerai(TOKEN, request.getfixturevalue("mcp_url"))
    return GraphqlNumerai(NumeraiApi(QUICK).ask)


@pytest.fixture
def pickle(tmp_path: Path) -> Path:
    """A file and a card that says it passed its check; what is in it is nobody's business here."""
    path = tmp_path / "model.pkl"
    path.write_bytes(b"not really a pickle" * 5000)
    card = {
        "python": "3.12",
        "data": {"version": "v5.2"},
        "pickle": {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        "verification": {"ok": True},
    }
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def order(pickle: Path, numerai: Numerai, **changes: Any) -> UploadOrder:
    slot = find_slot(numerai.slots(), "ray_one")
    image = next(each for each in numerai.images() if each.default)
    own = {"patience": QUICK, "waiting": WAITING} | changes
    return UploadOrder(pickle, slot, image, numerai.data_versions()[0], **own)


def test_the_whole_way(account: Account, numerai: Numerai, pickle: Path) -> None:
    steps: list[str] = []
    sent: list[tuple[int, int]] = []
    watch = Watch(step=steps.append, sent=lambda done, whole: sent.append((done, whole)))
    state = upload(order(pickle, numerai, trigger=True), numerai, watch)
    assert state.passed
    (stored,) = account.server.received.values()
    assert stored == pickle.read_bytes()
    (made,) = account.pickles.values()
    assert (made["dockerImageId"], made["dataVersionId"], made["tournament"]) == ("image-3.12", "dv-v5.2", 8)
    model = account.models[made["modelId"]]
    assert model["name"] == "ray_one"
    assert made["slots"] == [model["id"]]
    assert model["computePickleUpload"]["id"] == state.id
    assert account.triggered == [state.id]
    assert sent[-1] == (len(stored), len(stored))
    assert [step.split()[0] for step in steps] == ["sending", "sent", "validated", "assigned", "asked"]


def test_a_failed_validation_shows_its_log_and_assigns_nothing(
    account: Account, numerai: Numerai, pickle: Path
) -> None:
    account.fates = deque([FAILS])
    with pytest.raises(RequestError, match=r"(?s)'failed'; nothing was assigned.*Loading.*No module named") as caught:
        upload(order(pickle, numerai), numerai, Watch())
    assert "numerai_ray" in str(caught.value)
    assert not any(pickle["slots"] for pickle in account.pickles.values())


def test_an_undecided_validation_ends_with_how_to_look_again(account: Account, numerai: Numerai, pickle: Path) -> None:
    account.fates = deque([("pending",)])
    with pytest.raises(EnvironmentFault, match=r"not decided within 50 s \(it is pending\).*--status pickle-\d+"):
        upload(order(pickle, numerai), numerai, Watch())


def test_a_slot_is_made(account: Account, numerai: Numerai) -> None:
    made = numerai.create_slot("brand_new")
    assert made.name == "brand_new"
    assert find_slot(numerai.slots(), "brand_new") == made
    account.may_add = False
    with pytest.raises(RequestError, match="limit of models"):
        numerai.create_slot("another")


def test_only_classic_models_are_listed(numerai: Numerai) -> None:
    assert [slot.name for slot in numerai.slots()] == ["ray_one", "ray_two"]


def test_without_assignment_the_slot_keeps_what_it_has(account: Account, numerai: Numerai, pickle: Path) -> None:
    assert upload(order(pickle, numerai, assign=False), numerai, Watch()).slots == ()
    assert not any(model.get("computePickleUpload") for model in account.models.values())


def test_a_scope_that_is_missing(account: Account, numerai: Numerai, pickle: Path) -> None:
    account.scopes = frozenset({"read"})
    with pytest.raises(RequestError, match="lacks the scope upload_submission"):
        upload(order(pickle, numerai), numerai, Watch())


# --- the PUT ---------------------------------------------------------------------------------------------------


PUT_FAULTS: dict[str, tuple[list[Behaviour], type[NumeraiRayError] | None, str]] = {
    "403": (
        [Behaviour(status=403)],
        EnvironmentFault,
        "status 403 .AccessDenied.; the address given for it",
    ),
    "400": ([Behaviour(status=400)], EnvironmentFault, "status 400"),
    "503 once": ([Behaviour(status=503)], None, ""),
    "503 always": ([Behaviour(status=503)] * 3, EnvironmentFault, "status 503.*tried 3 times in a row"),
    "429 once": ([Behaviour(status=429)], None, ""),
    "the connection breaks once": ([Behaviour(stop_after=0)], None, ""),
    "the connection always breaks": ([Behaviour(stop_after=0)] * 3, EnvironmentFault, "not sent.*tried 3 times"),
}


@pytest.mark.parametrize("name", PUT_FAULTS)
def test_the_put_is_checked(name: str, account: Account, tmp_path: Path) -> None:
    faults, kind, words = PUT_FAULTS[name]
    account.server.uses_per_url = None
    file = tmp_path / "model.pkl"
    file.write_bytes(b"x" * 300_000)
    account.server.behave("PUT model.pkl", *faults)
    tries: list[str] = []
    url = account.server.upload_url("model.pkl")

    def send() -> None:
        put_file(file, url, QUICK, lambda why, _s: tries.append(why), lambda _d, _a: None)

    if kind is None:
        send()
        assert account.server.received["model.pkl"] == file.read_bytes()
        assert len(tries) == 1
        return
    with pytest.raises(kind, match=words) as caught:
        send()
    told = [str(caught.value), *tries]
    assert not any("Signature" in text or "<" in text for text in told), told
    assert "model.pkl" not in account.server.received


def test_a_failed_put_registers_nothing(account: Account, numerai: Numerai, pickle: Path) -> None:
    account.server.uses_per_url = 0
    with pytest.raises(EnvironmentFault, match="status 403"):
        upload(order(pickle, numerai), numerai, Watch())
    assert not account.pickles


def test_what_changes_something_is_sent_once(account: Account, pickle: Path) -> None:
    numerai = GraphqlNumerai(NumeraiApi(QUICK).ask)
    made = order(pickle, numerai)
    account.server.behave("createComputePickleUpload", Behaviour(status=503))
    with pytest.raises(EnvironmentFault, match=r"status 503 .tried once."):
        upload(made, numerai, Watch())
    account.server.behave("account", Behaviour(status=503))
    assert numerai.slots()  # what only reads is asked again


# --- keys ------------------------------------------------------------------------------------------------------


def test_no_key(account: Account, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("NUMERAI_PUBLIC_ID")
    monkeypatch.delenv("NUMERAI_SECRET_KEY")
    for via, words in (("numerapi", "NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY"), ("mcp", "NUMERAI_MCP_AUTH")):
        assert run(["upload", "--list", "--via", via]) == 2
        assert words in capfd.readouterr().err
    assert not account.server.log


@pytest.mark.parametrize("given", ["Token A$B", "A$B", "  Token A$B  "])
def test_the_mcp_key_in_either_form(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMERAI_MCP_AUTH", given)
    assert authorization(None) == "Token A$B"
    monkeypatch.delenv("NUMERAI_MCP_AUTH")
    assert authorization(("C", "D")) == "Token C$D"


@pytest.mark.parametrize("via", WAYS)
def test_a_wrong_key_is_refused_and_not_repeated(
    via: str, account: Account, mcp_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Both servers put the key they got into their answer."""
    monkeypatch.setenv("NUMERAI_SECRET_KEY", "AnotherSecretThatIsWrong")
    assert run(["upload", "--list", "--via", via]) == 2
    out, err = capfd.readouterr()
    assert "invalid" in err
    assert "AnotherSecretThatIsWrong" not in out + err
    assert PUBLIC_ID not in out + err


# --- the command -----------------------------------------------------------------------------------------------


def check(answer: Any) -> None:
    Draft202012Validator(schema_of("upload")).validate(answer)


@pytest.mark.parametrize("via", WAYS)
def test_the_command(
    via: str, account: Account, mcp_url: str, pickle: Path, capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr("numerai_ray.submission.numerai.upload.Waiting", partial(Waiting, sleep=lambda _s: None))
    assert run(["upload", str(pickle), "--new", "fresh", "--via", via, "--yes", "--trigger", "--json"]) == 0
    out, err = capfd.readouterr()
    answer = json.loads(out)
    check(answer)
    assert (answer["model"], answer["passed"], answer["validation"]) == ("fresh", True, "validated")
    assert "assigned to fresh" in err
    assert run(["upload", "--list", "--via", via, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    check(told)
    listed = {each["name"]: each["pickle"] for each in told["models"]}
    assert listed["fresh"].endswith("model.pkl")
    assert listed["ray_one"] is None
    assert run(["upload", "--status", answer["id"], "--via", via, "--json"]) == 0
    status = json.loads(capfd.readouterr().out)
    check(status)
    assert status["passed"]
    assert run(["upload", "--list", "--via", via]) == 0
    assert "no pickle" in capfd.readouterr().out


def test_no_secret_anywhere(
    account: Account, mcp_url: str, pickle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """Every path and failure, and then all output, all files and the tools' arguments are searched."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("numerai_ray.submission.numerai.upload.Waiting", partial(Waiting, sleep=lambda _s: None))
    for via in WAYS:
        run(["upload", str(pickle), "--model", "ray_one", "--via", via, "--yes"])
        account.fates = deque([FAILS])
        run(["upload", str(pickle), "--model", "ray_two", "--via", via, "--yes"])
        run(["upload", "--list", "--via", via])
        run(["upload", "--status", "nothing", "--via", via])
        account.may_add = False
        run(["upload", str(pickle), "--new", "more", "--via", via, "--yes"])
        account.may_add = True
        account.server.uses_per_url = 0
        run(["upload", str(pickle), "--model", "ray_one", "--via", via, "--yes"])
        account.server.uses_per_url = 1
    out, err = capfd.readouterr()
    secrets = (SECRET, PUBLIC_ID, "X-Amz-Signature")
    assert not [word for word in secrets if word in out + err]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert not [word for word in secrets if word.encode() in content], path
    for words in (["failed", "No module named"], ["status 403"], ["limit of models", "numer.ai/models"]):
        assert all(word in err for word in words), words


# name -> (arguments; {pickle} is the good one, {bad} another), words of the message
WRONG: dict[str, tuple[str, tuple[str, ...]]] = {
    "nothing": ("upload", ("PICKLE is missing", "--list")),
    "no such file": ("upload nowhere.pkl --model ray_one", ("nowhere.pkl", "no such file", "numerai-ray export")),
    "not a pickle's name": ("upload {text} --model ray_one", ("must end with .pkl",)),
    "no card": ("upload {bad} --model ray_one", ("no card beside it", "numerai-ray verify", "--unverified")),
    "no slot": ("upload {pickle} --yes", ("--model NAME", "--new NAME")),
    "both slots": ("upload {pickle} --model ray_one --new x --yes", ("--model NAME", "--new NAME")),
    "unknown slot": ("upload {pickle} --model ray_oen --yes", ("no model 'ray_oen'", "did you mean 'ray_one'?")),
    "slot that is there": ("upload {pickle} --new ray_one --yes", ("has a model 'ray_one' already", "--model ray_one")),
    "slot with capitals": ("upload {pickle} --new Ray --yes", ("must be 2 to 20 of a-z", "'Ray'")),
    "slot too long": (f"upload {{pickle}} --new {'x' * 21} --yes", ("must be 2 to 20",)),
    "unknown way": ("upload {pickle} --model ray_one --via ftp", ("--via", "numerapi or mcp", "'ftp'")),
    "another Python": ("upload {pickle} --model ray_one --python 3.13 --yes", ("must be 3.12", "but is 3.13")),
    "unknown Python": (
        "upload {bad} --model ray_one --python 2.7 --data-version v5.2 --unverified --yes",
        ("no container for Python '2.7'",),
    ),
    "a Python not offered": (
        "upload {bad} --model ray_one --python 3.14 --data-version v5.2 --unverified --yes",
        ("no image of Python 3.14", "3.12"),
    ),
    "unknown data": ("upload {pickle} --model ray_one --data-version v9 --yes", ("data version 'v9'", "v5.2")),
    "no card and no Python": ("upload {bad} --model ray_one --unverified", ("no card", "--python", "--data-version")),
    "not asked": ("upload {pickle} --model ray_one", ("Upload ", "model.pkl", "Python 3.12", "v5.2", "add --yes")),
    "unknown pickle": ("upload --status pickle-99", ("no uploaded pickle 'pickle-99'",)),
    "negative wait": ("upload {pickle} --model ray_one --wait -1", ("--wait", "must be 0 or more, but is -1")),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests(
    name: str, account: Account, pickle: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, words = WRONG[name]
    bad = pickle.with_name("bad.pkl")
    bad.write_bytes(b"something")
    other = pickle.with_name("model.txt")
    other.write_bytes(b"something")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert run(text.format(pickle=pickle, bad=bad, text=other).split()) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    flat = " ".join(err.replace("│", " ").split())
    assert all(word in flat for word in words), flat
    assert not account.server.received


def test_a_changed_pickle_is_not_uploaded(account: Account, pickle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pickle.write_bytes(b"another")
    assert run(["upload", str(pickle), "--model", "ray_one", "--yes"]) == 2
    assert "is not the pickle that its card describes" in capfd.readouterr().err
    assert not account.server.log


def test_a_pickle_that_failed_its_check_is_not_uploaded(
    account: Account, pickle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    card = json.loads(pickle.with_suffix(".json").read_text())
    pickle.with_suffix(".json").write_text(json.dumps({**card, "verification": {"ok": False}}))
    assert run(["upload", str(pickle), "--model", "ray_one", "--yes"]) == 2
    assert "the check failed" in capfd.readouterr().err
    pickle.with_suffix(".json").write_text("{")
    assert run(["upload", str(pickle), "--model", "ray_one", "--yes"]) == 2
    assert "is damaged" in capfd.readouterr().err


def test_the_mcp_server_is_not_there(
    account: Account, pickle: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mcp")
    monkeypatch.setenv("NUMERAI_RAY_MCP_URL", "http://127.0.0.1:9/mcp")
    assert run(["upload", "--list", "--via", "mcp"]) == 2
    err = capfd.readouterr().err
    assert "http://127.0.0.1:9/mcp" in err
    assert "NUMERAI_RAY_MCP_URL" in err


def test_an_offer_hides_nothing_and_an_address_its_signature(account: Account) -> None:
    numerai = GraphqlNumerai(NumeraiApi(QUICK).ask)
    address = numerai.address("model.pkl", numerai.slots()[0])
    assert "Signature" in address.url
    assert "Signature" not in repr(address)
    assert isinstance(numerai.images()[0], Offer)
