"""``numerai-ray upload``: a pickle to a model slot at Numerai, by numerapi or by MCP."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from numerai_ray.cli.options import JsonOption, within
from numerai_ray.errors import RequestError
from numerai_ray.progress.terminal import Console, harmless, say

if TYPE_CHECKING:
    from numerai_ray.submission.numerai.account import Numerai, Offer, PickleState, Slot
    from numerai_ray.submission.numerai.upload import UploadOrder, Watch

ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="The model slot at Numerai: its name or id.")
]
ViaOption = Annotated[
    str, typer.Option("--via", metavar="WAY", help="numerapi, or mcp: Numerai's MCP server (the extra mcp).")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before something leaves this machine.")]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(epilog="Example: numerai-ray upload model.pkl --model my_model · numerai-ray upload --list")(upload)


def upload(
    pickle: Annotated[
        Path | None, typer.Argument(metavar="[PICKLE]", help="A pickle made by `numerai-ray export`.")
    ] = None,
    *,
    model: ModelOption = None,
    new: Annotated[str | None, typer.Option("--new", metavar="NAME", help="Make a model slot of this name.")] = None,
    via: ViaOption = "numerapi",
    python: Annotated[
        str | None, typer.Option("--python", metavar="3.12", help="Numerai's image; else what the card says.")
    ] = None,
    data_version: Annotated[
        str | None, typer.Option("--data-version", metavar="V", help="Live data to run on; else the card's.")
    ] = None,
    wait: Annotated[
        int, typer.Option("--wait", metavar="S", callback=within(0), help="Longest wait for the validation, seconds.")
    ] = 1800,
    status: Annotated[
        str | None, typer.Option("--status", metavar="ID", help="Only look at an uploaded pickle, with its log.")
    ] = None,
    yes: YesOption = False,
    assign: Annotated[bool, typer.Option("--assign/--no-assign", help="Have the slot run it from now on.")] = True,
    trigger: Annotated[bool, typer.Option("--trigger", help="Ask for a test run at the end.")] = False,
    unverified: Annotated[bool, typer.Option("--unverified", help="Upload although no check passed here.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Only list models and what runs for them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Upload a pickle: send, validate, assign; nothing leaves this machine before it is asked.

    The API key comes from NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY, or for --via mcp from NUMERAI_MCP_AUTH.
    """
    numerai = connect(via)
    if listed:
        _list(numerai, as_json=as_json)
        return
    if status is not None:
        _status(numerai, status, model, as_json=as_json)
        return
    card = _checked_card(pickle, unverified=unverified)
    order = _order(numerai, _Wish(pickle or Path(), model, new, python, data_version, card), yes=yes)
    order = _with(order, assign=assign, trigger=trigger, wait_s=wait)
    from numerai_ray.submission.numerai.record import note_upload
    from numerai_ray.submission.numerai.upload import upload as send

    state = send(order, numerai, watch())
    note_upload(order, state, card)
    if as_json:
        say(json.dumps({"model": order.slot.name, **_state(state)}, indent=2))
        return
    say(f"{order.pickle} is {state.validation} at Numerai as {state.id}, model {order.slot.name}")
    if assign:
        say(f"{order.slot.name} submits with it from the next round on; watch it at https://numer.ai/models")


def connect(via: str) -> "Numerai":
    """Numerai by the way asked for; the key is looked for at once, and nothing is sent yet."""
    from numerai_ray.data.download.numerai_api import NumeraiApi
    from numerai_ray.submission.numerai.graphql import GraphqlNumerai
    from numerai_ray.submission.numerai.mcp import McpNumerai, authorization

    if via not in ("numerapi", "mcp"):
        raise RequestError(f"--via: must be numerapi or mcp, but is {via!r}")
    api = NumeraiApi(on_retry=watch().retry)
    if via == "mcp":
        return McpNumerai(authorization(api.keys))
    api.require_keys()
    return GraphqlNumerai(api.ask)


class _Wish:
    """What the command line asks for, before Numerai was asked what there is."""

    def __init__(
        self,
        pickle: Path,
        model: str | None,
        new: str | None,
        python: str | None,
        data_version: str | None,
        card: dict[str, Any] | None,
    ):
        self.pickle, self.model, self.new = pickle, model, new
        made_for = (card or {}).get("python")
        if python and made_for and python != made_for:
            rule = f"--python: must be {made_for}, the Python that made {pickle}, but is {python}"
            raise RequestError(f"{rule}; export it for {python} to run it there")
        self.python = python or made_for
        self.data_version = data_version or (card or {}).get("data", {}).get("version")


def _checked_card(pickle: Path | None, *, unverified: bool) -> dict[str, Any] | None:
    """The card of a pickle that passed its check here; raises :class:`RequestError` otherwise."""
    from numerai_ray.submission.container.verify import read_card
    from numerai_ray.submission.files import SubmissionFiles, sha256

    if pickle is None:
        raise RequestError("PICKLE is missing: name a file made by `numerai-ray export`, or use --list or --status")
    if not pickle.is_file():
        raise RequestError(f"{pickle}: no such file; make one with `numerai-ray export EXP --out {pickle.name}`")
    if pickle.suffix != ".pkl":
        raise RequestError(f"{pickle}: must end with .pkl, as Numerai asks; rename it")
    card = read_card(SubmissionFiles(pickle))
    if unverified:
        return card
    hint = f"check it with `numerai-ray verify {pickle}`, or add --unverified"
    if card is None:
        raise RequestError(f"{pickle}: no card beside it, so nothing says that Numerai's container can run it; {hint}")
    if card.get("pickle", {}).get("sha256") != sha256(pickle):
        raise RequestError(f"{pickle}: is not the pickle that its card describes; export it again, or {hint}")
    if not card.get("verification", {}).get("ok"):
        raise RequestError(f"{pickle}: its card says that the check failed; {hint}")
    return card


def _order(numerai: "Numerai", wish: _Wish, *, yes: bool) -> "UploadOrder":
    """Everything chosen and confirmed; a slot is made only after the answer was yes."""
    from numerai_ray.submission.container.containers import container_for
    from numerai_ray.submission.numerai.account import check_name, find_slot, image_for, version_for
    from numerai_ray.submission.numerai.upload import UploadOrder

    if (wish.model is None) == (wish.new is None):
        raise RequestError("give either --model NAME for a slot that is there, or --new NAME to make one; see --list")
    if wish.python is None or wish.data_version is None:
        raise RequestError(f"{wish.pickle}: has no card, so say with --python and --data-version what it was made for")
    slots = numerai.slots()
    image = image_for(numerai.images(), wish.python, container_for(wish.python).image)
    version = version_for(numerai.data_versions(), wish.data_version)
    slot = None
    if wish.new is not None:
        check_name(wish.new, slots)
    else:
        slot = find_slot(slots, str(wish.model))
    confirm(_question(wish, slot, image, version), yes=yes)
    return UploadOrder(wish.pickle, slot or _made(numerai, str(wish.new)), image, version)


def _question(wish: _Wish, slot: "Slot | None", image: "Offer", version: "Offer") -> str:
    from numerai_ray.data.download.fetch import size_text

    to = f"a new model {wish.new}" if slot is None else f"the model {slot.name}"
    instead = f", in place of {slot.pickle}" if slot is not None and slot.pickle else ""
    size = size_text(wish.pickle.stat().st_size)
    return f"Upload {wish.pickle} ({size}) to {to}{instead}, image {image.name}, data {version.name}?"


def confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise RequestError(f"{question} There is no terminal to answer on; add --yes")
    if not typer.confirm(harmless(question), err=True):
        raise RequestError("nothing was uploaded")


def _made(numerai: "Numerai", name: str) -> "Slot":
    try:
        return numerai.create_slot(name)
    except RequestError as error:
        by_hand = f"make it by hand at https://numer.ai/models, then use --model {name}"
        raise RequestError(f"--new: {error}; {by_hand}") from None


def _with(order: "UploadOrder", *, assign: bool, trigger: bool, wait_s: int) -> "UploadOrder":
    from numerai_ray.submission.numerai.upload import Waiting

    return replace(order, assign=assign, trigger=trigger, waiting=Waiting(limit_s=float(wait_s)))


def _list(numerai: "Numerai", *, as_json: bool) -> None:
    slots = numerai.slots()
    if as_json:
        say(json.dumps({"models": [asdict(each) for each in slots]}, indent=2))
        return
    if not slots:
        say("this account has no model of the Classic tournament; make one with --new NAME")
    width = max((len(each.name) for each in slots), default=0)
    for each in slots:
        say(f"{each.name:{width}}  {each.pickle or 'no pickle'}")


def _status(numerai: "Numerai", pickle_id: str, model: str | None, *, as_json: bool) -> None:
    from numerai_ray.submission.numerai.account import find_slot

    slots = numerai.slots()
    looked = [find_slot(slots, model)] if model else list(slots)
    state = next((found for slot in looked if (found := numerai.pickle(pickle_id, slot)) is not None), None)
    if state is None:
        raise RequestError(f"--status: no uploaded pickle {pickle_id!r} in this account; it says its id when uploaded")
    log = numerai.logs(state)
    if as_json:
        say(json.dumps({**_state(state), "log": log}, indent=2))
        return
    say(f"{state.filename or state.id}: {state.validation}")
    for line in (*state.said, *log):
        say(f"  {line}")


def _state(state: "PickleState") -> dict[str, Any]:
    return {**asdict(state), "passed": state.passed, "failed": state.failed}


def watch() -> "Watch":
    """Steps and failed tries, a line each on stderr."""
    from numerai_ray.submission.numerai.upload import Watch

    console = Console(stderr=True)

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    return Watch(step=say, retry=lambda why, wait_s: say(f"{why}; again in {wait_s:.0f} s"))
